package holdfast.cli;

import holdfast.node.api.ApiServer;
import holdfast.node.store.StateDirectory;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A daemon's process for tests: a real API in front of a {@link FixedNode}. Ends when told, at the
 * latest after a minute.
 */
final class StandInDaemon {
    private StandInDaemon() {}

    public static void main(String[] arguments) throws InterruptedException {
        List<String> words = List.of(arguments);
        if (words.contains("unlucky")) {
            System.err.println("no luck today");
            System.exit(1);
        }
        FixedNode node = new FixedNode();
        CountDownLatch told = new CountDownLatch(1);
        node.pid = ProcessHandle.current().pid();
        node.stop = told::countDown;
        StateDirectory state =
                new StateDirectory(Path.of(words.get(words.indexOf("--state-dir") + 1)));
        System.err.println("started as " + String.join(" ", words));
        try (ApiServer server = ApiServer.start(node, state.socket())) {
            if (!told.await(1, TimeUnit.MINUTES)) {
                System.err.println("nobody told " + server.socket() + " to end");
            }
        }
        System.exit(0);
    }
}
