package holdfast.node.api;

/**
 * What a node is and has.
 *
 * @param name the node's name, as other nodes show it
 * @param version of Holdfast
 * @param pid process of the daemon
 * @param startedAt when the daemon started, ISO 8601 in UTC
 * @param listen where other nodes reach it, {@code host:port}
 * @param stateDirectory where its domains are remembered
 * @param ramDirectory where guest memory lies, usually {@code /dev/shm}
 * @param ramFreeBytes bytes free there
 * @param qemu the QEMU it starts, or null where none was found
 * @param domains number of domains, replicas included
 */
public record NodeInfo(
        String name,
        String version,
        long pid,
        String startedAt,
        String listen,
        String stateDirectory,
        String ramDirectory,
        long ramFreeBytes,
        Qemu qemu,
        int domains) {
    /**
     * @param binary path of the executable
     * @param version such as {@code 7.2.22}
     * @param accelerator {@code kvm} or {@code tcg}: what a domain without a word of its own gets;
     *     {@code unknown} until it was tried
     */
    public record Qemu(String binary, String version, String accelerator) {}
}
