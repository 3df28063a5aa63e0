package holdfast.qemu.launch;

import holdfast.engine.HypervisorException;

/**
 * One option of a command line that somebody else wrote.
 *
 * @param name without dashes; a word that is no option is QEMU's first disk, as {@code hda}
 * @param value empty where the option takes none
 */
record ForeignOption(String name, String value) {
    private static final String STEP = "attach";

    QemuOptions parsed(String implied) {
        try {
            return QemuOptions.parse(value, implied);
        } catch (IllegalArgumentException e) {
            throw refused(e.getMessage());
        }
    }

    /** What to throw where no copy can have this option. */
    HypervisorException refused(String advice) {
        return refused(value.isEmpty() ? "-" + name : "-" + name + " " + value, advice);
    }

    static HypervisorException refused(String argument, String advice) {
        return new HypervisorException(
                STEP,
                "it was started with "
                        + argument
                        + ", of which no equal standby can be"
                        + " started: "
                        + advice);
    }
}
