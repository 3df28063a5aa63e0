package holdfast.node.api;

/**
 * A saved domain.
 *
 * @param domain the domain's name
 * @param file the file that was written
 * @param bytes its length
 * @param pages guest pages in it, of 4096 bytes, zero pages included
 * @param pausedMillis how long the guest was suspended: until the file was complete and on the
 *     disk, or, where it goes on, until nothing of it was read any more
 * @param rounds over its memory while it ran; 0 for a guest that was suspended all the time
 * @param finalPages pages written while it was suspended
 */
public record SaveResult(
        String domain,
        String file,
        long bytes,
        long pages,
        long pausedMillis,
        int rounds,
        long finalPages) {}
