package holdfast.cli;

import holdfast.node.api.ApiException;
import holdfast.node.api.NodeApi;
import holdfast.node.api.NodeInfo;

import picocli.CommandLine.Command;

import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** {@code holdfast node stop}. */
@Command(
        name = "stop",
        description =
                "End the daemon in order: protected domains are unprotected first; running ones go"
                        + " on without it.",
        footer = {"", "Example:", "  holdfast node stop"})
final class NodeStopCommand extends NodeCommand {
    private static final long END_SECONDS = 60;

    NodeStopCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        NodeApi node = holdfast.node();
        NodeInfo info = node.nodeInfo();
        node.stopNode();
        ProcessHandle.of(info.pid()).ifPresent(NodeStopCommand::awaitEnd);
        answer(
                Map.of("stopped", info.name(), "pid", info.pid()),
                "node " + info.name() + " has ended, process " + info.pid());
    }

    private static void awaitEnd(ProcessHandle daemon) {
        try {
            daemon.onExit().get(END_SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException | ExecutionException e) {
            throw ApiException.failed(
                    "the daemon, process "
                            + daemon.pid()
                            + ", was told to end and still runs after "
                            + END_SECONDS
                            + " s; its log says what it waits for",
                    e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw ApiException.failed("interrupted while the daemon ends", e);
        }
    }
}
