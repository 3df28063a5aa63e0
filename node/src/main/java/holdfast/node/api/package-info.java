/**
 * What a node offers its local operator: {@link holdfast.node.api.NodeApi}, its records (which are
 * the JSON contracts) and the two ends of its transport, HTTP/1.1 with JSON over a Unix socket.
 */
package holdfast.node.api;
