package holdfast.qemu.linux;

/**
 * What the planting of a system call must know about x86-64: system call numbers and the place of
 * registers in {@code struct user_regs_struct}.
 */
final class X86_64 {
    static final long PTRACE = 101;
    static final long CLOSE = 3;
    static final long USERFAULTFD = 323;

    /**
     * Bytes of {@code user_regs_struct}, and the offsets of the registers that carry a system call.
     */
    static final long REGISTERS_BYTES = 27 * 8;

    static final long RAX = 80;
    static final long RSI = 104;
    static final long RDI = 112;
    static final long ORIG_RAX = 120;
    static final long RIP = 128;
    static final long CS = 136;

    /** The code segment of 64-bit user code; 32-bit code has 0x23 and another system call table. */
    static final long CS_64_BIT = 0x33;

    /** The {@code syscall} instruction. */
    static final byte[] SYSCALL_INSTRUCTION = {0x0f, 0x05};

    private X86_64() {}

    static boolean here() {
        return System.getProperty("os.arch").equals("amd64");
    }
}
