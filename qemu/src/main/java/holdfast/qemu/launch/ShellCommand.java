package holdfast.qemu.launch;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/** Runs a short-lived program and waits for its end. */
final class ShellCommand {
    /**
     * @param status exit status
     * @param text what it wrote to both outputs
     */
    record Result(int status, String text) {}

    private ShellCommand() {}

    /**
     * @throws IOException if it cannot be started or does not end within the limit (it is then
     *     killed)
     */
    static Result run(List<String> command, Duration limit) throws IOException {
        Path output = Files.createTempFile("hf-command", ".out");
        try {
            Process process =
                    new ProcessBuilder(command)
                            .redirectInput(Path.of("/dev/null").toFile())
                            .redirectErrorStream(true)
                            .redirectOutput(output.toFile())
                            .start();
            if (!process.waitFor(limit)) {
                process.destroyForcibly().waitFor(Duration.ofSeconds(5));
                throw new TimedOutException(command, limit);
            }
            return new Result(
                    process.exitValue(),
                    new String(Files.readAllBytes(output), StandardCharsets.UTF_8).strip());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(String.join(" ", command) + ": interrupted", e);
        } finally {
            Files.deleteIfExists(output);
        }
    }

    /** The program did not end in time. */
    static final class TimedOutException extends IOException {
        TimedOutException(List<String> command, Duration limit) {
            super(String.join(" ", command) + ": not done within " + limit.toMillis() + " ms");
        }
    }
}
