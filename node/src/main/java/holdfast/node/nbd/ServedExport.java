package holdfast.node.nbd;

import holdfast.wire.nbd.TransmissionFlag;

import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.atomic.LongAdder;

/** An export, what clients are told of it, and its counters, which any thread may move. */
final class ServedExport {
    final NbdExport export;
    final LongAdder connections = new LongAdder();
    final LongAdder reads = new LongAdder();
    final LongAdder writes = new LongAdder();
    final LongAdder zeroes = new LongAdder();
    final LongAdder flushes = new LongAdder();
    final LongAdder others = new LongAdder();
    final LongAdder errors = new LongAdder();
    final LongAdder bytesRead = new LongAdder();
    final LongAdder bytesWritten = new LongAdder();
    final LongAdder bytesZeroed = new LongAdder();

    ServedExport(NbdExport export) {
        this.export = export;
    }

    Set<TransmissionFlag> flags(Replies replies) {
        EnumSet<TransmissionFlag> flags =
                EnumSet.of(
                        TransmissionFlag.HAS_FLAGS,
                        TransmissionFlag.SEND_FUA,
                        TransmissionFlag.CAN_MULTI_CONN);
        if (export.wantsFlush()) {
            flags.add(TransmissionFlag.SEND_FLUSH);
        }
        if (export.readOnly()) {
            flags.add(TransmissionFlag.READ_ONLY);
        } else {
            flags.add(TransmissionFlag.SEND_TRIM);
            flags.add(TransmissionFlag.SEND_WRITE_ZEROES);
            if (export.zeroesFast()) {
                flags.add(TransmissionFlag.SEND_FAST_ZERO);
            }
        }
        switch (replies) {
            case SIMPLE -> {}
            case STRUCTURED -> flags.add(TransmissionFlag.SEND_DF);
        }
        return flags;
    }

    NbdStatistics statistics() {
        return new NbdStatistics(
                connections.sum(),
                reads.sum(),
                writes.sum(),
                zeroes.sum(),
                flushes.sum(),
                others.sum(),
                errors.sum(),
                bytesRead.sum(),
                bytesWritten.sum(),
                bytesZeroed.sum());
    }
}
