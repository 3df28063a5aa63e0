package holdfast.cli;

import holdfast.node.api.DomainStatus;

import java.util.Locale;

/** Figures as people read them. */
final class Figures {
    private Figures() {}

    static String bytes(long bytes) {
        if (bytes < 1 << 10) {
            return bytes + " bytes";
        }
        double value = bytes / 1024.0;
        String[] units = {"KiB", "MiB", "GiB", "TiB"};
        int unit = 0;
        while (value >= 1024 && unit < units.length - 1) {
            value /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, "%.1f %s", value, units[unit]);
    }

    /** Milliseconds with a decimal, from microseconds. */
    static String millis(long micros) {
        return String.format(Locale.ROOT, "%.1f", micros / 1000.0);
    }

    static String count(long number, String one, String many) {
        return number + " " + (number == 1 ? one : many);
    }

    static String lastEvent(DomainStatus status) {
        return status.lastEvent() == null ? "nothing was reported" : status.lastEvent().text();
    }
}
