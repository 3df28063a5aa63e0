/**
 * What operators write: the description of a domain and of a node, in YAML. Every mistake is
 * reported with file, line, column and key, what was found and what is allowed; all of them at
 * once.
 */
package holdfast.node.config;
