package holdfast.node.store;

import holdfast.node.api.DomainStatus;

/**
 * Where a domain runs now.
 *
 * @param role what this node is for it
 * @param generation who owns it; the next owner has a larger one
 * @param pid its QEMU, or 0 where none runs
 * @param pidStartTicks when that process started, in clock ticks since boot (field 22 of {@code
 *     /proc/PID/stat}): a process id is used again, both together are not
 * @param ramFile file that is its main memory
 * @param qmpSocket QEMU's monitor
 * @param rescueSocket its second monitor, for commands that must not queue behind a hanging one;
 *     empty where it has none
 * @param peer the other node, {@code host:port}; empty while unprotected
 * @param origin how it came here
 */
public record DomainRuntime(
        DomainStatus.Role role,
        long generation,
        long pid,
        long pidStartTicks,
        String ramFile,
        String qmpSocket,
        String rescueSocket,
        String peer,
        Origin origin) {
    /** How a domain came to this node. */
    public enum Origin {
        /** This node started its QEMU. */
        STARTED,
        /** Somebody else started its QEMU; ending it deletes no file of theirs. */
        ATTACHED
    }

    /** The same process in another role, with no other node. */
    public DomainRuntime alone(DomainStatus.Role newRole, long newGeneration) {
        return new DomainRuntime(
                newRole,
                newGeneration,
                pid,
                pidStartTicks,
                ramFile,
                qmpSocket,
                rescueSocket,
                "",
                origin);
    }

    public DomainRuntime {
        if (role == null
                || ramFile == null
                || qmpSocket == null
                || rescueSocket == null
                || peer == null
                || origin == null) {
            throw new IllegalArgumentException(
                    "role, ramFile, qmpSocket, rescueSocket, peer and origin are required");
        }
        if (generation < 0 || pid < 0 || pidStartTicks < 0) {
            throw new IllegalArgumentException(
                    "generation "
                            + generation
                            + ", pid "
                            + pid
                            + ", pidStartTicks "
                            + pidStartTicks
                            + ": none may be negative");
        }
    }
}
