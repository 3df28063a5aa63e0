package holdfast.node.link;

import java.util.UUID;

/**
 * Who speaks on a link.
 *
 * @param id stays the same as long as the node's state directory does
 */
public record NodeIdentity(String name, UUID id, String softwareVersion) {}
