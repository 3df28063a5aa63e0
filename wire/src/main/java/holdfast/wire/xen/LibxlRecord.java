package holdfast.wire.xen;

import java.util.List;

/**
 * One record of a libxl stream, version 2. Constructors check like those of {@link LibxcRecord}.
 */
public sealed interface LibxlRecord permits LibxlRecord.Whole, LibxlRecord.EmulatorContext {

    /** A record that holds all of its body. */
    sealed interface Whole extends LibxlRecord {}

    /** Ends the stream. */
    record End() implements Whole {}

    /** A libxc image follows in the same bytes, until its END or CHECKPOINT. */
    record LibxcContext() implements Whole {}

    /**
     * What the device model keeps in xenstore.
     *
     * @param index which device model of the domain, unsigned 32 bits
     */
    record EmulatorXenstoreData(EmulatorKind emulator, long index, List<Entry> entries)
            implements Whole {
        /** One key and its value; each char is one byte, and none is NUL. */
        public record Entry(String key, String value) {
            public Entry {
                checkText("key", key);
                checkText("value", value);
            }

            private static void checkText(String field, String text) {
                for (int i = 0; i < text.length(); i++) {
                    IllegalRecordException.checkRange(
                            "EMULATOR_XENSTORE_DATA " + field + " char", text.charAt(i), 1, 255);
                }
            }
        }

        public EmulatorXenstoreData {
            IllegalRecordException.checkU32("EMULATOR_XENSTORE_DATA index", index);
            entries = List.copyOf(entries);
        }
    }

    /**
     * State of a device model. Its bytes may be many MiB and stream past this record. Between
     * Holdfast nodes index 0 carries the device sections and index 1 the RAM blocks outside main
     * memory.
     *
     * @param index which device model of the domain, unsigned 32 bits
     * @param stateBytes length of the state that follows
     */
    record EmulatorContext(EmulatorKind emulator, long index, long stateBytes)
            implements LibxlRecord {
        public EmulatorContext {
            IllegalRecordException.checkU32("EMULATOR_CONTEXT index", index);
            IllegalRecordException.checkRange(
                    "EMULATOR_CONTEXT state bytes", stateBytes, 0, XenLimits.RECORD_BYTES_MAX - 8);
        }
    }

    /** The libxl part of a checkpoint is complete: the reader now holds all of it. */
    record CheckpointEnd() implements Whole {}

    /** COLO: where a side stands. */
    record CheckpointState(Control control) implements Whole {
        /** The step that was reached. */
        public enum Control {
            /** Primary to secondary: a new checkpoint begins. */
            NEW_CHECKPOINT,
            /** Secondary to primary: suspended. */
            SECONDARY_SUSPENDED,
            /** Secondary to primary: the state is loaded. */
            SECONDARY_READY,
            /** Secondary to primary: running again. */
            SECONDARY_RESUMED
        }
    }
}
