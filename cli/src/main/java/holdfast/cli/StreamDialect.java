package holdfast.cli;

import holdfast.wire.xen.ReaderOptions;

import picocli.CommandLine.Option;

/** Which of the formats' variants a stream is read as. */
final class StreamDialect {
    @Option(
            names = "--extensions",
            negatable = true,
            description =
                    "Take Holdfast's own records (page differences), which no plain Xen stream"
                            + " has.")
    private Boolean extensions;

    @Option(
            names = "--colo",
            description =
                    "The stream is of a COLO session: CHECKPOINT_STATE follows each checkpoint.")
    private boolean colo;

    @Option(
            names = "--xen-dirty-list",
            description =
                    "CHECKPOINT_DIRTY_PFN_LIST has the 16-byte header that Xen itself writes, not"
                            + " the specified one.")
    private boolean dirtyList;

    ReaderOptions options(ReaderOptions.Extensions unlessSaid) {
        return new ReaderOptions(
                extensions == null
                        ? unlessSaid
                        : extensions
                                ? ReaderOptions.Extensions.ALLOWED
                                : ReaderOptions.Extensions.REFUSED,
                colo ? ReaderOptions.Checkpoints.COLO : ReaderOptions.Checkpoints.REMUS,
                dirtyList
                        ? ReaderOptions.DirtyListHeader.XEN_IN_MEMORY
                        : ReaderOptions.DirtyListHeader.AS_SPECIFIED);
    }
}
