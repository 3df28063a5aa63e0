/**
 * A QEMU as the engine sees it: the domain that runs, and the standby that waits.
 *
 * <p>Both own one monitor connection and, while they need it, a mapping of main memory; closing
 * them gives these back and leaves QEMU as it is. The end of the monitor connection is the notice
 * that QEMU died.
 */
package holdfast.qemu.domain;
