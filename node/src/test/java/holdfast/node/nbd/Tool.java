package holdfast.node.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs other people's NBD clients. One that is not installed fails the test. */
final class Tool {
    private Tool() {}

    /** What a program printed, both streams, and how it ended. */
    record Result(int status, String output) {}

    /** What a program printed that must succeed. */
    static String run(String... command) throws IOException, InterruptedException {
        Result result = ended(command);
        assertThat(result.status()).as("%s: %s", List.of(command), result.output()).isZero();
        return result.output();
    }

    static Result ended(String... command) throws IOException, InterruptedException {
        Path output = Files.createTempFile("nbd-tool", ".txt");
        try {
            Process process =
                    new ProcessBuilder(command)
                            .redirectInput(Path.of("/dev/null").toFile())
                            .redirectErrorStream(true)
                            .redirectOutput(output.toFile())
                            .start();
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
                throw new AssertionError(
                        List.of(command) + " did not end: " + Files.readString(output));
            }
            return new Result(
                    process.exitValue(), Files.readString(output, StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new AssertionError(
                    command[0]
                            + " is missing: apt-get install qemu-utils libnbd-bin nbdkit fio"
                            + " (./check does it)",
                    e);
        } finally {
            Files.delete(output);
        }
    }
}
