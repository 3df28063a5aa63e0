/**
 * The {@code holdfast} command: one class a command, loaded only when it is used, each a thin layer
 * over {@link holdfast.node.api.NodeApi}.
 */
package holdfast.cli;
