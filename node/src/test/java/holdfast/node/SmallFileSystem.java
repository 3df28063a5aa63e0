package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Assumptions;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A file system that is soon full. Needs the right to mount, which the check's namespace has. */
record SmallFileSystem(Path root) implements AutoCloseable {
    static SmallFileSystem mount(Path root, long bytes) throws IOException {
        Assumptions.assumeTrue(
                Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0),
                "file systems cannot be mounted here: be root, or in a namespace of your own");
        Files.createDirectories(root);
        run(List.of("mount", "-t", "tmpfs", "-o", "size=" + bytes, "hf-small", root.toString()));
        return new SmallFileSystem(root);
    }

    /** Makes room. */
    void grow(long bytes) throws IOException {
        run(List.of("mount", "-o", "remount,size=" + bytes, root.toString()));
    }

    /** At once for everybody else; for good when the last that uses it is gone. */
    @Override
    public void close() throws IOException {
        run(List.of("umount", "--lazy", root.toString()));
    }

    private static void run(List<String> command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.onExit().join().exitValue()).as(said).isZero();
    }
}
