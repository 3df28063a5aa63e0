/**
 * The Linux system calls that Java has no API for. This is the only package with foreign function
 * calls; every restricted call carries a SAFETY comment. {@link holdfast.qemu.linux.Syscalls} is
 * the thin layer (one method a call, errno as an exception); the others are the sequences built on
 * it: reading {@code /proc}, planting a userfaultfd in another process, and stopping all threads of
 * one for a moment.
 */
package holdfast.qemu.linux;
