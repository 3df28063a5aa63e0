/**
 * The state directory: what a daemon must find again after it was killed.
 *
 * <pre>
 * STATE/                    mode 0700
 *   api.sock                the API, mode 0600
 *   holdfastd.log           what a detached daemon says
 *   holdfastd.lock          held while a daemon runs; contains its process id
 *   domains/NAME/
 *     spec.json             what the domain is
 *     runtime.json          where it runs now
 * </pre>
 *
 * Every file is written beside its place, forced to the disk and renamed, so that a crash leaves
 * the old or the new content.
 */
package holdfast.node.store;
