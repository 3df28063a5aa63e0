package holdfast.cli;

import holdfast.node.api.ApiClient;
import holdfast.node.api.NodeApi;

import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.Function;

/**
 * What a command sees of the world.
 *
 * @param terminal what standard error is connected to
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
    /** Who reads standard error. */
    enum Terminal {
        /** A person: lines may be drawn over. */
        PRESENT,
        /** A file or a pipe: lines stay. */
        ABSENT
    }

    static Surroundings ofThisProcess() {
        return new Surroundings(
                System.in,
                System.out,
                System.err,
                // Standard output may be a pipe while a person watches standard error; the JDK
                // tells only about both together.
                System.console() != null && System.console().isTerminal()
                        ? Terminal.PRESENT
                        : Terminal.ABSENT,
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
