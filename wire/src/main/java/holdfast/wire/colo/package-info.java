/**
 * The COLO checkpoint protocol: who says what at a checkpoint, with QEMU's numbers.
 *
 * <pre>
 *   message      = number:u32                    big-endian, 0..6 except 4
 *                | 00 00 00 04 stateBytes:u64    VMSTATE_SIZE
 *   conversation = READY checkpoint*
 *   checkpoint   = REQUEST REPLY VMSTATE_SEND VMSTATE_SIZE VMSTATE_RECEIVED VMSTATE_LOADED
 *
 *   value  message             from        meaning
 *   0      CHECKPOINT_READY    secondary   initial state loaded
 *   1      CHECKPOINT_REQUEST  primary     prepare for a checkpoint
 *   2      CHECKPOINT_REPLY    secondary   go ahead
 *   3      VMSTATE_SEND        primary     suspended; state follows
 *   4      VMSTATE_SIZE        primary     length of the device state
 *   5      VMSTATE_RECEIVED    secondary   all of it is buffered: committed
 *   6      VMSTATE_LOADED      secondary   applied
 * </pre>
 */
package holdfast.wire.colo;
