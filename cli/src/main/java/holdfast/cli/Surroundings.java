package holdfast.cli;

import holdfast.node.api.ApiClient;
import holdfast.node.api.NodeApi;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Function;

/**
 * What a command sees of the world.
 *
 * @param terminal what standard output and standard error are connected to
 * @param connect from an API socket to the node behind it
 */
record Surroundings(
        InputStream in,
        PrintStream out,
        PrintStream err,
        Terminal terminal,
        Map<String, String> environment,
        String user,
        Path directory,
        Function<Path, NodeApi> connect) {
    /** Who reads what is said. */
    enum Terminal {
        /** A person: lines may be drawn over. */
        PRESENT,
        /** A file or a pipe gets one of them: lines stay. */
        ABSENT;

        /** Of this process. The JDK tells about standard input and output together only. */
        private static Terminal of(String kind) {
            return isTerminal(1) && isTerminal(2) && !"dumb".equals(kind) ? PRESENT : ABSENT;
        }

        private static boolean isTerminal(int descriptor) {
            try {
                String file =
                        Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor)).toString();
                return file.startsWith("/dev/pts/")
                        || file.startsWith("/dev/tty")
                        || file.equals("/dev/console");
            } catch (IOException e) {
                // No /proc: lines that stay can be read anywhere.
                return false;
            }
        }
    }

    static Surroundings ofThisProcess() {
        return new Surroundings(
                System.in,
                System.out,
                System.err,
                Terminal.of(System.getenv("TERM")),
                System.getenv(),
                System.getProperty("user.name"),
                Path.of("").toAbsolutePath(),
                ApiClient::new);
    }

    /** A path as the user typed it. */
    Path path(String typed) {
        return directory.resolve(typed).normalize();
    }
}
