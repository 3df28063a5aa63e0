/**
 * Device state: taken from a running QEMU, put together, and loaded into a waiting one.
 *
 * <p>Two streams make one. The <i>base</i> is the front of a QEMU migration stream with {@code
 * x-ignore-shared}: the list of RAM blocks and the content of those outside main memory. It rarely
 * changes. The <i>sections</i> are what {@code xen-save-devices-state} writes each epoch: every
 * device's registers and nothing else.
 *
 * <pre>
 *  base      = "QEVM" u32:3  start("ram" blocks)  part(pages)*  [command]  end(pages)   | cut
 *  sections  = "QEVM" u32:3  full(device)*  0x00
 *  spliced   = base  full(device)*  0x00
 *  section   = type:u8 id:u32 ... 0x7e id:u32
 * </pre>
 *
 * <p>The spliced stream goes into the VM-state area of a small qcow2 image ({@link
 * holdfast.qemu.state.VmStateImage}), from which {@code snapshot-load} takes it as often as one
 * likes: a QEMU that has once loaded a migration cannot load another.
 */
package holdfast.qemu.state;
