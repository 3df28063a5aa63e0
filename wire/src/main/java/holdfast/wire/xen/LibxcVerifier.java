package holdfast.wire.xen;

import static holdfast.wire.xen.VerifierInput.hex;
import static holdfast.wire.xen.VerifierInput.u32;

import holdfast.wire.xen.VerifierInput.DeviationFound;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** The libxc layer of {@link StreamVerifier}. */
final class LibxcVerifier {
    /** What made the libxc layer give way to the libxl layer. */
    enum Stop {
        END,
        CHECKPOINT
    }

    /** What the records of an image or of one checkpoint are about. */
    private enum Phase {
        STATIC_DATA,
        MEMORY,
        COMPARISON,
        STATE
    }

    private static final int PAGE = 4096;
    private static final int PAGES_MAX = 4096;
    private static final int BODY_BYTES_MAX = 128 << 20;
    private static final int FIRST_OF_VERSION_3 = 0x10;
    private static final int DELTA = 0x4846_0001;

    private static final Map<Integer, String> NAMES =
            Map.ofEntries(
                    Map.entry(0x00, "END"),
                    Map.entry(0x01, "PAGE_DATA"),
                    Map.entry(0x02, "X86_PV_INFO"),
                    Map.entry(0x03, "X86_PV_P2M_FRAMES"),
                    Map.entry(0x04, "X86_PV_VCPU_BASIC"),
                    Map.entry(0x05, "X86_PV_VCPU_EXTENDED"),
                    Map.entry(0x06, "X86_PV_VCPU_XSAVE"),
                    Map.entry(0x07, "SHARED_INFO"),
                    Map.entry(0x08, "X86_TSC_INFO"),
                    Map.entry(0x09, "HVM_CONTEXT"),
                    Map.entry(0x0A, "HVM_PARAMS"),
                    Map.entry(0x0B, "TOOLSTACK"),
                    Map.entry(0x0C, "X86_PV_VCPU_MSRS"),
                    Map.entry(0x0D, "VERIFY"),
                    Map.entry(0x0E, "CHECKPOINT"),
                    Map.entry(0x0F, "CHECKPOINT_DIRTY_PFN_LIST"),
                    Map.entry(0x10, "STATIC_DATA_END"),
                    Map.entry(0x11, "X86_CPUID_POLICY"),
                    Map.entry(0x12, "X86_MSR_POLICY"),
                    Map.entry(DELTA, "PAGE_DELTA"));

    private static final Set<Integer> PV_ONLY = Set.of(0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0C);
    private static final Set<Integer> HVM_ONLY = Set.of(0x09, 0x0A);

    private final VerifierInput in;
    private final LibxcVerifierDeltas deltas;
    private final ReaderOptions.Extensions extensions;

    /** Records that come once in an image. */
    private final Set<String> onceInImage = new HashSet<>();

    /** Records that come once in an image or checkpoint. */
    private final Set<String> onceInCheckpoint = new HashSet<>();

    private ByteOrder order = ByteOrder.LITTLE_ENDIAN;
    private DomainType domain = DomainType.X86_HVM;
    private Phase phase = Phase.STATIC_DATA;
    private long version;
    private int guestWidth;
    private long lastPfn = -1;
    private long lengthOffset;
    private long records;
    private long recordsOfCheckpoint;
    private long pages;
    private long checkpoints;

    LibxcVerifier(VerifierInput in, ReaderOptions.Extensions extensions) {
        this.in = in;
        this.deltas = new LibxcVerifierDeltas(in);
        this.extensions = extensions;
    }

    long records() {
        return records;
    }

    long pages() {
        return pages;
    }

    void headers() throws IOException, DeviationFound {
        in.enter("image header");
        long marker = in.take(8, ByteOrder.BIG_ENDIAN).getLong(0);
        in.check(marker == -1L, StreamRule.IMAGE_HEADER, 0, "marker of ones", hex(marker));
        headersAfterMarker();
    }

    void headersAfterMarker() throws IOException, DeviationFound {
        in.enter("image header");
        ByteBuffer image = in.take(16, ByteOrder.BIG_ENDIAN);
        int id = image.getInt(0);
        in.check(id == 0x5845_4E46, StreamRule.IMAGE_HEADER, 0, "id XENF", hex(id));
        version = u32(image, 4);
        in.check(
                version == 2 || version == 3,
                StreamRule.IMAGE_HEADER,
                4,
                "version 2 or 3",
                version);
        int options = image.getShort(8) & 0xFFFF;
        in.check((options & ~1) == 0, StreamRule.RESERVED_BITS, 8, "0 or 1", hex(options));
        in.check(
                image.getInt(10) == 0 && image.getShort(14) == 0,
                StreamRule.RESERVED_BITS,
                10,
                "zeros",
                "other bytes");
        order = options == 0 ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        in.enter("domain header");
        ByteBuffer header = in.take(16, order);
        long type = u32(header, 0);
        in.check(type == 1 || type == 2, StreamRule.DOMAIN_HEADER, 0, "type 1 or 2", type);
        domain = type == 1 ? DomainType.X86_PV : DomainType.X86_HVM;
        int shift = header.getShort(4) & 0xFFFF;
        in.check(shift == 12, StreamRule.DOMAIN_HEADER, 4, "page_shift 12", shift);
        in.check(header.getShort(6) == 0, StreamRule.RESERVED_BITS, 6, "zero", "other bits");
    }

    Stop untilEndOrCheckpoint() throws IOException, DeviationFound {
        recordsOfCheckpoint = 0;
        onceInCheckpoint.clear();
        while (true) {
            in.enter("libxc record header");
            lengthOffset = in.offset() + 4;
            ByteBuffer header = in.take(8, order);
            int type = header.getInt(0);
            long length = u32(header, 4);
            if (type < 0) {
                in.enter("optional libxc record " + hex(type & 0xFFFF_FFFFL));
                in.pass(length);
                in.padding(length);
                records++;
                continue;
            }
            boolean known =
                    NAMES.containsKey(type)
                            && (type != DELTA || extensions == ReaderOptions.Extensions.ALLOWED);
            in.check(
                    known,
                    StreamRule.UNKNOWN_MANDATORY_RECORD,
                    0,
                    "a known libxc record",
                    hex(type));
            in.enter(NAMES.get(type));
            checkPlace(type);
            if (type == 0x00 || type == 0x0E) {
                checkLength(length == 0, "0", length);
                checkComplete(type);
                records++;
                if (type == 0x0E) {
                    checkpoints++;
                    phase = Phase.MEMORY;
                    return Stop.CHECKPOINT;
                }
                return Stop.END;
            }
            body(type, length);
            in.padding(length);
            records++;
            recordsOfCheckpoint++;
        }
    }

    /** For an image without a libxl layer: an HVM guest's state can be nowhere else. */
    void requireHypervisorState() throws DeviationFound {
        requireSomeState(false);
    }

    /**
     * An HVM guest's state is the hypervisor's, or wholly its device model's.
     *
     * @param emulatorContext whether the libxl layer had any
     */
    void requireSomeState(boolean emulatorContext) throws DeviationFound {
        boolean ended = checkpoints > 0 && recordsOfCheckpoint == 0;
        in.check(
                domain == DomainType.X86_PV
                        || emulatorContext
                        || ended
                        || onceInCheckpoint.contains("HVM_CONTEXT"),
                StreamRule.STATE_MISSING,
                0,
                "HVM_CONTEXT or EMULATOR_CONTEXT before it",
                "neither");
    }

    private void checkPlace(int type) throws DeviationFound {
        String name = NAMES.get(type);
        boolean wrongDomain =
                switch (domain) {
                    case X86_PV -> HVM_ONLY.contains(type);
                    case X86_HVM -> PV_ONLY.contains(type);
                };
        in.check(!wrongDomain, StreamRule.DOMAIN_TYPE, 0, "a record of " + domain, name);
        in.check(type != 0x0F, StreamRule.DIRECTION, 0, "only on the way back to a primary", name);
        in.check(
                version == 3 || type < FIRST_OF_VERSION_3 || type == DELTA,
                StreamRule.VERSION,
                0,
                "a record of version 2",
                name);
        switch (type) {
            case 0x02, 0x11, 0x12 -> {
                in.check(
                        phase == Phase.STATIC_DATA,
                        StreamRule.STATIC_DATA_LATE,
                        0,
                        "before STATIC_DATA_END, memory and state",
                        name);
                once(onceInImage, name);
            }
            case 0x10 -> {
                once(onceInImage, name);
                phase = Phase.MEMORY;
            }
            case 0x0B -> {}
            default -> {
                leaveStaticData(type);
                checkDynamic(type, name);
            }
        }
    }

    /** Version 2 has no STATIC_DATA_END: the first memory record stands for it. */
    private void leaveStaticData(int type) throws DeviationFound {
        if (phase == Phase.STATIC_DATA) {
            in.check(
                    version == 2,
                    StreamRule.STATIC_DATA_END_MISSING,
                    0,
                    "STATIC_DATA_END before it",
                    "none");
            if (type == 0x01 || type == 0x03) {
                phase = Phase.MEMORY;
            }
        }
    }

    private void checkDynamic(int type, String name) throws DeviationFound {
        switch (type) {
            case 0x03 -> {
                order(onceInImage.contains("X86_PV_INFO"), "X86_PV_INFO before it");
                once(onceInImage, name);
                memoryPhase();
            }
            case 0x01, DELTA -> {
                order(
                        domain == DomainType.X86_HVM || onceInImage.contains("X86_PV_P2M_FRAMES"),
                        "X86_PV_P2M_FRAMES before it");
                order(type == 0x01 || onceInImage.contains("PAGE_DATA"), "PAGE_DATA before it");
                memoryPhase();
                onceInImage.add(name);
            }
            case 0x0D -> {
                order(onceInImage.contains("PAGE_DATA"), "PAGE_DATA before it");
                once(onceInImage, name);
                memoryPhase();
                phase = Phase.COMPARISON;
            }
            case 0x07, 0x08, 0x09, 0x0A -> {
                once(onceInCheckpoint, name);
                statePhase();
            }
            case 0x04, 0x05, 0x06, 0x0C -> statePhase();
            default -> {}
        }
    }

    private void statePhase() throws DeviationFound {
        in.check(
                onceInImage.contains("PAGE_DATA"),
                StreamRule.MEMORY_MISSING,
                0,
                "PAGE_DATA before state",
                "none");
        phase = Phase.STATE;
    }

    private void memoryPhase() throws DeviationFound {
        in.check(
                phase != Phase.STATE,
                StreamRule.MEMORY_AFTER_STATE,
                0,
                "memory before the state saved with it",
                "it after");
    }

    private void order(boolean kept, String expected) throws DeviationFound {
        in.check(kept, StreamRule.RECORD_ORDER, 0, expected, "none");
    }

    private void once(Set<String> seen, String name) throws DeviationFound {
        in.check(seen.add(name), StreamRule.DUPLICATE_RECORD, 0, "one", "a second " + name);
    }

    private void checkComplete(int type) throws DeviationFound {
        in.check(
                onceInImage.contains("PAGE_DATA"),
                StreamRule.MEMORY_MISSING,
                0,
                "PAGE_DATA before it",
                "none");
        if (type == 0x00 && checkpoints > 0 && recordsOfCheckpoint == 0) {
            return;
        }
        switch (domain) {
            case X86_PV -> {
                requireState("X86_TSC_INFO");
                requireState("SHARED_INFO");
                in.check(
                        onceInCheckpoint.stream().anyMatch(s -> s.startsWith("X86_PV_VCPU_BASIC")),
                        StreamRule.STATE_MISSING,
                        0,
                        "X86_PV_VCPU_BASIC before it",
                        "none");
            }
            case X86_HVM -> {
                if (onceInCheckpoint.contains("HVM_CONTEXT")) {
                    requireState("HVM_PARAMS");
                } else if (onceInCheckpoint.contains("HVM_PARAMS")) {
                    requireState("HVM_CONTEXT");
                }
            }
        }
    }

    private void requireState(String name) throws DeviationFound {
        in.check(
                onceInCheckpoint.contains(name),
                StreamRule.STATE_MISSING,
                0,
                name + " before it",
                "none");
    }

    private void body(int type, long length) throws IOException, DeviationFound {
        in.check(
                length <= BODY_BYTES_MAX,
                StreamRule.RECORD_LENGTH,
                4,
                "at most " + BODY_BYTES_MAX,
                length);
        switch (type) {
            case 0x01 -> pageData(length);
            case DELTA -> pages += deltas.pageDelta(length, order);
            case 0x02 -> pvInfo(length);
            case 0x03 -> p2mFrames(length);
            case 0x04, 0x05, 0x06, 0x0C -> vcpu(type, length);
            case 0x07 -> {
                checkLength(length == PAGE, "4096", length);
                in.pass(length);
            }
            case 0x08 -> {
                checkLength(length == 24, "24", length);
                reserved(in.take(24, order), 20);
            }
            case 0x0A -> hvmParams(length);
            case 0x0D, 0x10 -> checkLength(length == 0, "0", length);
            case 0x11 -> {
                checkLength(length % 24 == 0, "a multiple of 24", length);
                in.pass(length);
            }
            case 0x12 -> {
                checkLength(length % 16 == 0, "a multiple of 16", length);
                in.pass(length);
            }
            default -> in.pass(length);
        }
    }

    private void pageData(long length) throws IOException, DeviationFound {
        checkLength(length >= 16, "at least 16", length);
        ByteBuffer head = in.take(8, order);
        long count = u32(head, 0);
        in.check(
                count >= 1 && count <= Math.min(PAGES_MAX, (length - 8) / 8),
                StreamRule.RECORD_LENGTH,
                0,
                "count 1.." + Math.min(PAGES_MAX, (length - 8) / 8),
                count);
        reserved(head, 4);
        ByteBuffer entries = in.take((int) count * 8, order);
        long withData = 0;
        for (int i = 0; i < count; i++) {
            long entry = entries.getLong(i * 8);
            int type = (int) (entry >>> 60);
            boolean data = type <= 4 || type >= 9 && type <= 12;
            boolean table = data && type != 0;
            in.check(
                    (data || type >= 13) && !(table && domain == DomainType.X86_HVM),
                    StreamRule.PAGE_TYPE,
                    i * 8L,
                    "a page type of " + domain,
                    type);
            long bits = entry >>> 52 & 0xFF;
            in.check(bits == 0, StreamRule.RESERVED_BITS, i * 8L, "bits 59..52 zero", hex(bits));
            long pfn = entry & 0xF_FFFF_FFFF_FFFFL;
            in.check(
                    domain == DomainType.X86_HVM || pfn <= lastPfn,
                    StreamRule.PFN_RANGE,
                    i * 8L,
                    "a PFN up to " + lastPfn,
                    pfn);
            withData += data ? 1 : 0;
        }
        long expected = 8 + 8 * count + PAGE * withData;
        checkLength(length == expected, expected + " for " + withData + " pages", length);
        in.pass(PAGE * withData);
        pages += withData;
    }

    private void pvInfo(long length) throws IOException, DeviationFound {
        checkLength(length == 8, "8", length);
        ByteBuffer body = in.take(8, order);
        guestWidth = body.get(0);
        in.check(
                guestWidth == 4 || guestWidth == 8,
                StreamRule.FIELD_VALUE,
                0,
                "guest_width 4 or 8",
                guestWidth);
        int levels = guestWidth == 8 ? 4 : 3;
        in.check(
                body.get(1) == levels,
                StreamRule.FIELD_VALUE,
                1,
                "pt_levels " + levels,
                body.get(1));
        in.check(
                body.getShort(2) == 0 && body.getInt(4) == 0,
                StreamRule.RESERVED_BITS,
                2,
                "zeros",
                "other bytes");
    }

    private void p2mFrames(long length) throws IOException, DeviationFound {
        checkLength(length >= 16 && length % 8 == 0, "16 and more, a multiple of 8", length);
        ByteBuffer body = in.take((int) length, order);
        long first = u32(body, 0);
        long last = u32(body, 4);
        in.check(first <= last, StreamRule.FIELD_VALUE, 0, "start_pfn up to " + last, first);
        long perFrame = PAGE / guestWidth;
        long frames = last / perFrame - first / perFrame + 1;
        checkLength(length == 8 + 8 * frames, "8 and " + frames + " frames", length);
        lastPfn = last;
    }

    private void vcpu(int type, long length) throws IOException, DeviationFound {
        checkLength(length >= 8, "at least 8", length);
        ByteBuffer head = in.take(8, order);
        long vcpu = u32(head, 0);
        reserved(head, 4);
        in.check(
                length > 8 || version == 2 && type != 0x04,
                StreamRule.EMPTY_RECORD,
                0,
                "registers",
                "none");
        once(onceInCheckpoint, NAMES.get(type) + " " + vcpu);
        order(
                onceInCheckpoint.contains("X86_PV_VCPU_BASIC " + vcpu),
                "X86_PV_VCPU_BASIC of vCPU " + vcpu + " before it");
        in.pass(length - 8);
    }

    private void hvmParams(long length) throws IOException, DeviationFound {
        checkLength(length >= 8, "at least 8", length);
        ByteBuffer head = in.take(8, order);
        long count = u32(head, 0);
        reserved(head, 4);
        checkLength(length == 8 + 16 * count, "8 and 16 for each of " + count, length);
        in.check(count > 0 || version == 2, StreamRule.EMPTY_RECORD, 0, "parameters", "none");
        in.pass(length - 8);
    }

    private void reserved(ByteBuffer bytes, int at) throws DeviationFound {
        long found = u32(bytes, at);
        in.check(found == 0, StreamRule.RESERVED_BITS, at, "zero", hex(found));
    }

    private void checkLength(boolean kept, String expected, long length) throws DeviationFound {
        in.checkAt(lengthOffset, kept, StreamRule.RECORD_LENGTH, "length " + expected, length);
    }
}
