/**
 * Guest main memory as this process sees it, and the trackers that find which pages the guest
 * wrote.
 *
 * <p>The guest's RAM is a file on a memory file system that QEMU maps shared ({@code -object
 * memory-backend-file,id=ram,size=N,mem-path=F,share=on -machine memory-backend=ram}); {@link
 * holdfast.qemu.memory.MappedMemory} maps the same file. {@link holdfast.qemu.memory.DirtyTrackers}
 * opens the best tracker that kernel and rights allow:
 *
 * <pre>
 * write-protect   userfaultfd in QEMU + PAGEMAP_SCAN   Linux 6.7, right to ptrace    cost grows with what was written
 * soft-dirty      clear_refs + bit 55 of pagemap       CONFIG_MEM_SOFT_DIRTY, ptrace   one walk over all page table entries
 * compare         a second copy, byte by byte          nothing but memory            one read of all memory, twice
 * </pre>
 *
 * <p>The first two see what QEMU's page tables see. They do not see writes through another
 * process's mapping (a vhost-user daemon, this process) nor a hole punched from outside, and not a
 * device's DMA into pages pinned before the look: disks must not use O_DIRECT ({@code cache=none})
 * while the guest is tracked running. QEMU's post-copy and background snapshot need the userfaultfd
 * for themselves.
 */
package holdfast.qemu.memory;
