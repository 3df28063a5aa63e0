package holdfast.wire.xen;

import holdfast.wire.Bytes;

import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Optional;

/**
 * The header xl puts before a libxl stream in its save files and on its migration channel.
 *
 * @param order byte order of the header's own numbers: the sender's
 * @param optionalFlags unsigned 32 bits; none is defined, writers use 0
 * @param optionalData what follows the header and precedes the libxl stream: a 32-bit length in
 *     {@code order}, then that many bytes of configuration; or nothing
 */
public record XlFileHeader(BodyOrder order, long optionalFlags, Bytes optionalData) {
    public XlFileHeader {
        IllegalRecordException.checkU32("xl header optional flags", optionalFlags);
        IllegalRecordException.checkRange(
                "xl header optional data length",
                optionalData.size(),
                0,
                XenLimits.XL_OPTIONAL_DATA_BYTES_MAX);
        if (optionalData.size() > 0) {
            IllegalRecordException.checkRange(
                    "xl header optional data length", optionalData.size(), 4, Integer.MAX_VALUE);
            IllegalRecordException.checkRange(
                    "xl configuration length",
                    configBytes(order, optionalData),
                    0,
                    optionalData.size() - 4L);
        }
    }

    /** The header for a domain with this configuration, as xl writes it: JSON and one NUL. */
    public static XlFileHeader ofConfig(String json) {
        byte[] text = json.getBytes(StandardCharsets.UTF_8);
        int length = text.length + 1;
        byte[] data = new byte[4 + length];
        for (int i = 0; i < 4; i++) {
            data[i] = (byte) (length >>> 8 * i);
        }
        System.arraycopy(text, 0, data, 4, text.length);
        return new XlFileHeader(BodyOrder.LITTLE_ENDIAN, 0, Bytes.copyOf(data));
    }

    /** The configuration without its trailing NUL, or empty when the file has none. */
    public Optional<String> configJson() {
        if (optionalData.size() == 0) {
            return Optional.empty();
        }
        int length = (int) configBytes(order, optionalData);
        String text = new String(optionalData.toArray(), 4, length, StandardCharsets.UTF_8);
        return Optional.of(text.endsWith("\0") ? text.substring(0, text.length() - 1) : text);
    }

    private static long configBytes(BodyOrder order, Bytes optionalData) {
        return Integer.toUnsignedLong(
                optionalData
                        .asSegment()
                        .get(ValueLayout.JAVA_INT_UNALIGNED.withOrder(order.byteOrder()), 0));
    }
}
