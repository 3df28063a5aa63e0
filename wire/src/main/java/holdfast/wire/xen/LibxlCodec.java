package holdfast.wire.xen;

import holdfast.wire.Bytes;
import holdfast.wire.xen.LibxlRecord.CheckpointState;
import holdfast.wire.xen.LibxlRecord.EmulatorContext;
import holdfast.wire.xen.LibxlRecord.EmulatorXenstoreData;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Bodies of libxl records. Framing is the stream reader's and writer's. */
final class LibxlCodec {
    private static final EmulatorKind[] EMULATORS = EmulatorKind.values();
    private static final CheckpointState.Control[] CONTROLS = CheckpointState.Control.values();

    private LibxlCodec() {}

    /** Bytes of a record's body; for EMULATOR_CONTEXT without the state. */
    static long bodyBytes(LibxlRecord record) {
        return switch (record) {
            case LibxlRecord.End _, LibxlRecord.LibxcContext _, LibxlRecord.CheckpointEnd _ -> 0;
            case EmulatorXenstoreData r -> {
                long bytes = 8;
                for (EmulatorXenstoreData.Entry entry : r.entries()) {
                    bytes += entry.key().length() + entry.value().length() + 2L;
                }
                yield bytes;
            }
            case EmulatorContext _, CheckpointState _ -> 8;
        };
    }

    /** Writes the body; of EMULATOR_CONTEXT what stands before the state. */
    static void encode(LibxlRecord record, OctetWriter out) {
        switch (record) {
            case LibxlRecord.End _, LibxlRecord.LibxcContext _, LibxlRecord.CheckpointEnd _ -> {}
            case EmulatorXenstoreData r -> {
                out.u32(r.emulator().ordinal());
                out.u32(r.index());
                for (EmulatorXenstoreData.Entry entry : r.entries()) {
                    out.text(entry.key());
                    out.text(entry.value());
                }
            }
            case EmulatorContext r -> {
                out.u32(r.emulator().ordinal());
                out.u32(r.index());
            }
            case CheckpointState(CheckpointState.Control control) -> {
                out.u32(control.ordinal());
                out.u32(0);
            }
        }
    }

    /**
     * Decodes a body whose length fits the type; of EMULATOR_CONTEXT it leaves {@code body}
     * standing at the state.
     */
    static LibxlRecord decode(LibxlType type, OctetReader body) {
        long offset = body.offset();
        try {
            return switch (type) {
                case END -> new LibxlRecord.End();
                case LIBXC_CONTEXT -> new LibxlRecord.LibxcContext();
                case EMULATOR_XENSTORE_DATA -> decodeXenstoreData(body);
                case EMULATOR_CONTEXT ->
                        new EmulatorContext(
                                decodeEmulator(type, body),
                                body.u32("EMULATOR_CONTEXT index"),
                                body.remaining());
                case CHECKPOINT_END -> new LibxlRecord.CheckpointEnd();
                case CHECKPOINT_STATE -> {
                    int control = enumIndex("CHECKPOINT_STATE control_id", body, CONTROLS.length);
                    body.skip("CHECKPOINT_STATE padding", 4);
                    yield new CheckpointState(CONTROLS[control]);
                }
            };
        } catch (IllegalRecordException e) {
            throw body.broken(offset, e);
        }
    }

    private static EmulatorKind decodeEmulator(LibxlType type, OctetReader body) {
        return EMULATORS[enumIndex(type + " emulator_id", body, EMULATORS.length)];
    }

    private static int enumIndex(String field, OctetReader body, int count) {
        long at = body.offset();
        long value = body.u32(field);
        if (value >= count) {
            throw body.broken(at, field, "0.." + (count - 1), Long.toString(value));
        }
        return (int) value;
    }

    private static EmulatorXenstoreData decodeXenstoreData(OctetReader body) {
        EmulatorKind emulator = decodeEmulator(LibxlType.EMULATOR_XENSTORE_DATA, body);
        long index = body.u32("EMULATOR_XENSTORE_DATA index");
        long at = body.offset();
        Bytes text = body.bytes("EMULATOR_XENSTORE_DATA text", body.remaining());
        byte[] octets = text.toArray();
        List<String> strings = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < octets.length; i++) {
            if (octets[i] == 0) {
                strings.add(new String(octets, start, i - start, StandardCharsets.ISO_8859_1));
                start = i + 1;
            }
        }
        if (start != octets.length || strings.size() % 2 != 0) {
            throw body.broken(
                    at,
                    "EMULATOR_XENSTORE_DATA text",
                    "pairs of NUL-terminated strings",
                    strings.size()
                            + " strings and "
                            + (octets.length - start)
                            + " bytes without a NUL");
        }
        List<EmulatorXenstoreData.Entry> entries = new ArrayList<>(strings.size() / 2);
        for (int i = 0; i < strings.size(); i += 2) {
            entries.add(new EmulatorXenstoreData.Entry(strings.get(i), strings.get(i + 1)));
        }
        return new EmulatorXenstoreData(emulator, index, entries);
    }
}
