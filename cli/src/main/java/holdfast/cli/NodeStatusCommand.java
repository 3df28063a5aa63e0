package holdfast.cli;

import holdfast.node.api.NodeInfo;

import picocli.CommandLine.Command;

/** {@code holdfast node status}. */
@Command(
        name = "status",
        description = "Show this node: its name, where it listens, what it has.",
        footer = {"", "Example:", "  holdfast node status --json"})
final class NodeStatusCommand extends NodeCommand {
    NodeStatusCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        NodeInfo info = holdfast.node().nodeInfo();
        NodeInfo.Qemu qemu = info.qemu();
        answer(
                info,
                String.join(
                        "\n",
                        "node          " + info.name() + ", Holdfast " + info.version(),
                        "daemon        process " + info.pid() + " since " + info.startedAt(),
                        "listens on    " + info.listen(),
                        "state in      " + info.stateDirectory(),
                        "guest memory  "
                                + info.ramDirectory()
                                + ", "
                                + Figures.bytes(info.ramFreeBytes())
                                + " free",
                        "qemu          "
                                + (qemu == null
                                        ? "none found: apt-get install qemu-system-x86"
                                        : qemu.binary()
                                                + " "
                                                + qemu.version()
                                                + ", accelerator "
                                                + qemu.accelerator()),
                        "domains       " + info.domains()));
    }
}
