package holdfast.qemu.state;

import holdfast.qemu.qmp.QmpClient;

import java.util.List;
import java.util.Map;

/** QEMU's migration knobs, as far as device state needs them. */
final class MigrationSettings {
    /** Whether something is on. */
    enum Switch {
        ON,
        OFF
    }

    private MigrationSettings() {}

    /**
     * Whether RAM blocks that are shared files are left out of a stream. Off unless needed: it
     * would spoil somebody else's ordinary migration of this QEMU.
     */
    static void ignoreShared(QmpClient qmp, Switch state) {
        capability(qmp, "x-ignore-shared", state);
    }

    /** Whether QEMU tells of a migration's progress by events. */
    static void events(QmpClient qmp, Switch state) {
        capability(qmp, "events", state);
    }

    /**
     * How often QEMU announces the guest by itself when it has loaded a stream; 0 is not at all.
     */
    static void announcements(QmpClient qmp, int rounds) {
        qmp.execute("migrate-set-parameters", Map.of("announce-rounds", rounds));
    }

    private static void capability(QmpClient qmp, String name, Switch state) {
        qmp.execute(
                "migrate-set-capabilities",
                Map.of(
                        "capabilities",
                        List.of(Map.of("capability", name, "state", state == Switch.ON))));
    }
}
