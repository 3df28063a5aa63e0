package holdfast.node.api;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;

import java.util.List;

/**
 * One domain as a node sees it.
 *
 * @param name the domain's name
 * @param uuid stays the same over save, restore and fail-over
 * @param state what the guest does
 * @param role what this node is for the domain
 * @param node name of the node that answers
 * @param pid process of its QEMU, 0 where there is none
 * @param memoryMib main memory, in MiB
 * @param vcpus number of virtual CPUs
 * @param nics its NICs, in order
 * @param disks its disks, in order
 * @param remusBackup the node that its description wants to protect it from its creation on, or
 *     null
 * @param protection the newest session, running or ended, that protected it; null where there was
 *     none since the daemon started
 * @param reprotection what the node does by itself so that the domain stays protected
 * @param migration the newest migration, running or over; null where there was none since the
 *     daemon started
 * @param lastEvent the last thing the operator should know, or null
 * @param change grows with every change of state, role, protection state or event; not with every
 *     checkpoint
 */
public record DomainStatus(
        String name,
        String uuid,
        State state,
        Role role,
        String node,
        long pid,
        long memoryMib,
        int vcpus,
        List<Nic> nics,
        List<Disk> disks,
        String remusBackup,
        ProtectionStatus protection,
        ReprotectionStatus reprotection,
        MigrationStatus migration,
        Event lastEvent,
        long change) {
    public DomainStatus {
        nics = List.copyOf(nics);
        disks = List.copyOf(disks);
    }

    /** What the guest does. */
    public enum State {
        /** Its virtual CPUs run (a protected guest's short stops included). */
        RUNNING,
        /** Suspended by the operator. */
        PAUSED,
        /** A replica that waits, on a secondary. */
        STANDBY,
        /**
         * Suspended for good here because another node owns the domain, or its right to run is not
         * decided.
         */
        STOPPED,
        /** Its process ended; the last event says why. */
        ENDED;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static State of(String text) {
            return JsonNames.parse(State.class, text);
        }
    }

    /** What this node is for the domain. */
    public enum Role {
        /** It runs the domain alone. */
        UNPROTECTED,
        /** It runs the domain and has a secondary. */
        PRIMARY,
        /** It holds the replica. */
        SECONDARY,
        /** It took the domain over from a lost primary, and runs it alone. */
        SURVIVOR,
        /** It runs the domain, or did until it handed it over, and is moving it to another node. */
        MOVING,
        /** Another node is moving the domain here. */
        ARRIVING;

        @JsonValue
        public String text() {
            return JsonNames.kebab(this);
        }

        @JsonCreator
        static Role of(String text) {
            return JsonNames.parse(Role.class, text);
        }
    }

    /**
     * @param index from 0
     * @param kind {@code tap} or {@code user}, or what an attached QEMU calls it
     * @param device the host's interface, empty where there is none
     * @param mac such as {@code 52:54:00:12:34:56}
     */
    public record Nic(int index, String kind, String device, String mac) {}

    /**
     * @param index from 0
     * @param path of the image
     * @param format {@code raw} or {@code qcow2}
     * @param access {@code read-write} or {@code read-only}
     * @param bytes what the guest sees
     * @param replica where another node keeps its copy, which is raw; null where the disk is
     *     read-only: then the other node opens the same path
     * @param peer who receives the copy, as the description says, {@code host:port}; or null
     */
    public record Disk(
            int index,
            String path,
            String format,
            String access,
            long bytes,
            String replica,
            String peer) {}

    /**
     * @param time ISO 8601 in UTC, with milliseconds
     * @param text one sentence, such as why protection ended
     */
    public record Event(String time, String text) {}
}
