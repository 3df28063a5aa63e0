package holdfast.qemu.memory;

import holdfast.engine.HypervisorException;
import holdfast.engine.port.GuestMemory;
import holdfast.qemu.linux.ProcessMaps;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * Where a process maps a part of guest memory: its addresses {@code [start, start + bytes)} show
 * memory from byte {@code offset} on.
 */
record RamMapping(long start, long bytes, long offset) {
    RamMapping {
        if (bytes <= 0
                || start % GuestMemory.PAGE_BYTES != 0
                || offset % GuestMemory.PAGE_BYTES != 0) {
            throw new IllegalArgumentException(
                    "mapping of %d bytes at 0x%x, offset 0x%x".formatted(bytes, start, offset));
        }
    }

    long end() {
        return start + bytes;
    }

    /** The page that address {@code at} shows; also right for the exclusive end of a range. */
    long pfn(long at) {
        return (at - start + offset) / GuestMemory.PAGE_BYTES;
    }

    /**
     * All shared mappings of the RAM file in a process. There may be several, also of the same
     * page, and gaps: what a process does not map it cannot write.
     *
     * @throws HypervisorException if there is none, or if there is a private one, through which
     *     writes would be missed
     */
    static List<RamMapping> find(long pid, MappedMemory memory) {
        List<ProcessMaps.Mapping> all;
        try {
            all = ProcessMaps.read(pid);
        } catch (IOException e) {
            throw new HypervisorException(
                    "find RAM mapping",
                    "process %d is gone or hides its mappings (run as its user or as root): %s"
                            .formatted(pid, e),
                    e);
        }
        List<RamMapping> found = new ArrayList<>();
        for (ProcessMaps.Mapping mapping : all) {
            if (!mapping.file().equals(memory.file())) {
                continue;
            }
            if (mapping.visibility() == ProcessMaps.Visibility.PRIVATE) {
                throw new HypervisorException(
                        "find RAM mapping",
                        "process %d maps %s private, its writes stay its own; start QEMU with memory-backend-file,...,share=on"
                                .formatted(pid, memory.path()));
            }
            long bytes =
                    Math.min(mapping.bytes(), memory.bytes().byteSize() - mapping.fileOffset());
            if (bytes > 0) {
                found.add(new RamMapping(mapping.start(), bytes, mapping.fileOffset()));
            }
        }
        if (found.isEmpty()) {
            throw new HypervisorException(
                    "find RAM mapping",
                    "process %d does not map %s; is it the QEMU of this domain, with mem-path=%s,share=on?"
                            .formatted(pid, memory.path(), memory.path()));
        }
        return List.copyOf(found);
    }
}
