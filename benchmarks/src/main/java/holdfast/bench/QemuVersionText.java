package holdfast.bench;

import holdfast.qemu.launch.QemuProcess;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Which QEMU was measured. */
final class QemuVersionText {
    private QemuVersionText() {}

    /** The first line of {@code --version}, without the copyright. */
    static String get() throws IOException, InterruptedException {
        Process process =
                new ProcessBuilder(QemuProcess.BINARY, "--version")
                        .redirectErrorStream(true)
                        .start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return said.lines()
                .findFirst()
                .map(line -> line.replace("QEMU emulator version ", ""))
                .orElse("unknown");
    }
}
