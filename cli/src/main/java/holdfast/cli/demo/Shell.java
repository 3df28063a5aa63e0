package holdfast.cli.demo;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs short system commands to their end. */
final class Shell {
    private static final long SECONDS_MAX = 20;

    private Shell() {}

    /** Runs a command and returns what it printed; fails with its own words if it does. */
    static String run(String... command) {
        return run(List.of(command));
    }

    static String run(List<String> command) {
        Result result = attempt(command);
        if (result.status() != 0) {
            throw new DemoException(
                    String.join(" ", command) + " failed: " + result.output().strip());
        }
        return result.output();
    }

    /** Runs a command whose failure is an answer too. */
    static Result attempt(List<String> command) {
        try {
            Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
            process.getOutputStream().close();
            // Read to the end first: a full pipe would keep the command from ending.
            String output =
                    new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(SECONDS_MAX, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new DemoException(
                        String.join(" ", command) + " did not end within " + SECONDS_MAX + " s");
            }
            return new Result(process.exitValue(), output);
        } catch (IOException e) {
            throw new DemoException(command.getFirst() + " cannot be run: " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DemoException("interrupted while running " + String.join(" ", command), e);
        }
    }

    record Result(int status, String output) {}
}
