package holdfast.node.api;

/**
 * A saved domain.
 *
 * @param domain the domain's name
 * @param file the file that was written
 * @param bytes its length
 * @param pages guest pages in it, of 4096 bytes, zero pages included
 * @param pausedMillis how long the guest was suspended, until the file was complete
 */
public record SaveResult(String domain, String file, long bytes, long pages, long pausedMillis) {}
