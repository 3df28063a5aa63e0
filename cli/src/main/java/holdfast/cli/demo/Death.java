package holdfast.cli.demo;

/** How the demo's host A is lost. */
public enum Death {
    /** SIGKILL to its daemon and its QEMU: the kernel ends their connections, which tells B. */
    KILLED,
    /**
     * Its switch port goes down: nothing of it is heard any more and nobody is told. As with a host
     * that lost its power, B knows it by the heartbeat deadline alone.
     */
    SILENT
}
