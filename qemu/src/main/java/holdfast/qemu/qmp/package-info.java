/**
 * The dialogue with a running QEMU.
 *
 * <p>One {@link holdfast.qemu.qmp.QmpClient} owns one monitor socket and one reader thread. Any
 * thread may send a command; it sleeps until the reader hands it the reply that carries its
 * command's number. Events and the end of the connection are told on the reader thread, as soon as
 * the bytes are there: the end of file on this socket is how the death of a QEMU is noticed, since
 * the kernel closes it while the process dies, long before any timer would fire.
 *
 * <pre>
 *  caller  --- {"execute": C, "arguments": A, "id": 7} ---&gt;  QEMU
 *  caller  &lt;-- reply 7 --  reader  &lt;-- {"return": R, "id": 7} --  QEMU
 *  subscribers  &lt;-- reader  &lt;-- {"event": E, "data": D, "timestamp": T} --  QEMU
 * </pre>
 *
 * @spec https://www.qemu.org/docs/master/interop/qmp-spec.html QEMU Machine Protocol Specification
 */
package holdfast.qemu.qmp;
