package holdfast.wire.xen;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Puts streams together octet by octet, without the code under test. */
final class StreamBytes {
    static final int PAGE = 4096;

    private ByteBuffer out = ByteBuffer.allocate(1 << 17).order(ByteOrder.LITTLE_ENDIAN);

    StreamBytes u8(int value) {
        out.put((byte) value);
        return this;
    }

    StreamBytes u16(int value) {
        out.putShort((short) value);
        return this;
    }

    StreamBytes u32(long value) {
        out.putInt((int) value);
        return this;
    }

    StreamBytes u64(long value) {
        out.putLong(value);
        return this;
    }

    StreamBytes big64(long value) {
        out.putLong(Long.reverseBytes(value));
        return this;
    }

    StreamBytes big32(long value) {
        out.putInt(Integer.reverseBytes((int) value));
        return this;
    }

    StreamBytes big16(int value) {
        out.putShort(Short.reverseBytes((short) value));
        return this;
    }

    StreamBytes fill(int bytes, int value) {
        for (int i = 0; i < bytes; i++) {
            u8(value);
        }
        return this;
    }

    StreamBytes text(String text) {
        out.put(text.getBytes(StandardCharsets.ISO_8859_1));
        return this;
    }

    StreamBytes bytes(byte[] bytes) {
        out.put(bytes);
        return this;
    }

    byte[] toArray() {
        return Arrays.copyOf(out.array(), out.position());
    }

    /** A record with zero padding. */
    StreamBytes record(int type, StreamBytes body) {
        byte[] octets = body.toArray();
        u32(type);
        u32(octets.length);
        bytes(octets);
        return fill(-octets.length & 7, 0);
    }

    StreamBytes record(int type) {
        return record(type, new StreamBytes());
    }

    StreamBytes xlHeader(String config) {
        text("Xen saved domain, xl format\n \0 \r");
        u32(0x01020304).u32(3).u32(0).u32(4 + config.length());
        return u32(config.length()).text(config);
    }

    StreamBytes libxlHeader() {
        return big64(0x4c6962786c466d74L).big32(2).big32(0);
    }

    StreamBytes imageHeader(int version) {
        return big64(-1).big32(0x58454E46).big32(version).big16(0).fill(6, 0);
    }

    StreamBytes domainHeader(int type) {
        return u32(type).u16(12).u16(0).u32(4).u32(17);
    }

    /** PAGE_DATA; each entry is a word of the format. */
    StreamBytes pages(long... entries) {
        StreamBytes body = new StreamBytes().u32(entries.length).u32(0);
        for (long entry : entries) {
            body.u64(entry);
        }
        for (long entry : entries) {
            if (entry >>> 60 < 13) {
                body.fill(PAGE, (int) entry);
            }
        }
        return record(0x01, body);
    }

    StreamBytes tsc() {
        return record(0x08, new StreamBytes().u32(0).u32(2_600_000).u64(7).u32(1).u32(0));
    }

    StreamBytes hvmContext() {
        return record(0x09, new StreamBytes().fill(17, 5));
    }

    StreamBytes hvmParams() {
        return record(0x0A, new StreamBytes().u32(1).u32(0).u64(3).u64(4));
    }

    StreamBytes hvmState() {
        return tsc().hvmContext().hvmParams();
    }

    StreamBytes vcpu(int type, int id, int contextBytes) {
        return record(type, new StreamBytes().u32(id).u32(0).fill(contextBytes, 9));
    }

    StreamBytes sharedInfo() {
        return record(0x07, new StreamBytes().fill(PAGE, 1));
    }

    StreamBytes pvInfo() {
        return record(0x02, new StreamBytes().u8(8).u8(4).fill(6, 0));
    }

    StreamBytes p2m(int lastPfn) {
        StreamBytes body = new StreamBytes().u32(0).u32(lastPfn);
        for (int i = 0; i <= lastPfn / 512; i++) {
            body.u64(100 + i);
        }
        return record(0x03, body);
    }

    StreamBytes emulator(int type, int kind, int index, String state) {
        return record(type, new StreamBytes().u32(kind).u32(index).text(state));
    }

    /** libxl header, LIBXC_CONTEXT, image of an HVM guest up to STATIC_DATA_END. */
    StreamBytes hvmStart() {
        return libxlHeader().record(1).imageHeader(3).domainHeader(2).record(0x10);
    }

    /** The same of a PV guest, with P2M for PFNs 0 to 511. */
    StreamBytes pvStart() {
        return libxlHeader()
                .record(1)
                .imageHeader(3)
                .domainHeader(1)
                .pvInfo()
                .record(0x10)
                .p2m(511);
    }

    StreamBytes pvState() {
        return tsc().sharedInfo().vcpu(0x04, 0, 40);
    }

    /** libxc END, device state, libxl END. */
    StreamBytes hvmEnd() {
        return record(0x00).emulator(3, 2, 0, "state").record(0);
    }
}
