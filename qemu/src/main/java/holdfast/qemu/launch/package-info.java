/**
 * Starting, recognising and ending QEMU processes.
 *
 * <p>A {@link holdfast.qemu.launch.DomainSpec} says what the guest sees; {@link
 * holdfast.qemu.launch.QemuFiles} says where this copy of it lives; {@link
 * holdfast.qemu.launch.QemuCommandLine} makes QEMU's arguments of both. A process is no child of
 * this one: it outlives the daemon, which finds it again by process number and start time.
 */
package holdfast.qemu.launch;
