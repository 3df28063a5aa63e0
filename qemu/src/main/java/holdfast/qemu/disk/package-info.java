/**
 * The disks of a running QEMU, copied and then followed write by write. All of it is QEMU's own
 * mirror job, attached and removed while the guest runs:
 *
 * <pre>
 *  guest ──► diskN ──► mirror filter ──► the domain's own image
 *                          └──► nbd client ──Unix socket──► whoever replicates it
 * </pre>
 *
 * <p>In the job's write-blocking mode a guest's write is done when both have it. So once the job is
 * ready and for as long as it lives, the reply to {@code stop} says that every write the guest has
 * seen done was answered by the NBD server before. When the server fails, QEMU tells so before it
 * lets that write be done, the job stands still, and the guest goes on with its own image. Jobs end
 * only while the guest is suspended, see {@link holdfast.qemu.disk.DiskMirror}.
 */
package holdfast.qemu.disk;
