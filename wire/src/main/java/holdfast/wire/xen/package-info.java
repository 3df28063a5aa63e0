/**
 * Xen's domain streams: libxc images (revision 3; 2 and 3 are read), libxl streams (version 2) and
 * xl's file header, so that Holdfast reads what Xen writes and Xen's tools read what Holdfast
 * writes. {@link holdfast.wire.xen.XenStreamReader} and {@link holdfast.wire.xen.XenStreamWriter}
 * are for engines, {@link holdfast.wire.xen.StreamVerifier} and {@link
 * holdfast.wire.xen.StreamInspector} for people.
 *
 * <pre>
 *   xlFile     = xlHeader libxl [GO]             GO: 44 bytes, only on xl's migration channel
 *   libxl      = libxlHeader LIBXC_CONTEXT image rest
 *   rest       = emulator* END                                   after libxc END
 *              | emulator* CHECKPOINT_END libxc* rest            after libxc CHECKPOINT (Remus)
 *              | emulator* CHECKPOINT_END CHECKPOINT_STATE(0) libxc* rest              (COLO)
 *              | emulator* CHECKPOINT_END &lt;end of file&gt;          the primary has died
 *   emulator   = EMULATOR_XENSTORE_DATA | EMULATOR_CONTEXT
 *   image      = imageHeader domainHeader static memory state (END | CHECKPOINT)
 *   libxc*     = memory state (END | CHECKPOINT)                 no header again
 *   static     = [PV_INFO] [CPUID_POLICY] [MSR_POLICY] STATIC_DATA_END     version 3
 *   memory     = [P2M_FRAMES] (PAGE_DATA | PAGE_DELTA)* [VERIFY PAGE_DATA*]
 *   state      = PV:  TSC_INFO SHARED_INFO (VCPU_BASIC [EXTENDED] [XSAVE] [MSRS])*
 *              | HVM: TSC_INFO HVM_CONTEXT HVM_PARAMS            either order of the last two
 *
 *   record, both layers, in the order of the layer's header
 *   0        4              8
 *   +--------+--------------+-----------------+-------------------+
 *   | type   | body length  | body            | zeros to 8 bytes  |
 *   +--------+--------------+-----------------+-------------------+
 *   bit 31 of the type: a reader that does not know it may skip it
 *
 *   PAGE_DATA body
 *   0        4          8                            8+8*count
 *   +--------+----------+----------------------------+---------------------------------+
 *   | count  | reserved | count words                | a page for each word with data  |
 *   +--------+----------+----------------------------+---------------------------------+
 *   word: bits 63-60 page type, 59-52 reserved, 51-0 PFN
 *
 *   PAGE_DELTA body (0x48460001, Holdfast only)
 *   0        4          8               8+8*count        8+12*count, to 8
 *   +--------+----------+---------------+----------------+---------------------------+
 *   | count  | reserved | count words   | count lengths  | deltas, back to back      |
 *   +--------+----------+---------------+----------------+---------------------------+
 *   word: bits 63-60 kind (0 zero page, 1 delta), 59-52 zero, 51-0 PFN
 *   delta: runs of skipWords:u16 lenWords:u16 xor[8*lenWords], little-endian
 * </pre>
 */
package holdfast.wire.xen;
