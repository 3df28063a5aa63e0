package holdfast.node.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import holdfast.qemu.linux.BlockFile;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Random;

/** What QEMU's tools, libnbd's and fio make of the server, on memory and on files. */
@Tag("qemu")
@Timeout(180)
class NbdToolsTest {
    private static final long SIZE_BYTES = 48L << 20;

    @TempDir Path directory;

    private NbdServer server;
    private MemoryExport memory;
    private Path image;
    private FileExport file;
    private String memoryUri;
    private String fileUri;

    @BeforeEach
    void open() throws IOException {
        Path socket = directory.resolve("nbd");
        server =
                NbdServer.open(
                        UnixDomainSocketAddress.of(socket), NbdLimits.DEFAULT, Optional.empty());
        memory = new MemoryExport("memory", SIZE_BYTES);
        image = directory.resolve("disk.raw");
        try (RandomAccessFile empty = new RandomAccessFile(image.toFile(), "rw")) {
            empty.setLength(SIZE_BYTES);
        }
        file = FileExport.open("file", image, BlockFile.Access.READ_WRITE);
        server.add(memory);
        server.add(file);
        memoryUri = "nbd+unix:///memory?socket=" + socket;
        fileUri = "nbd+unix:///file?socket=" + socket;
    }

    @AfterEach
    void close() throws IOException {
        server.close();
        memory.close();
        file.close();
    }

    /** Data, holes and zeros, in no regular pattern. */
    private Path source() throws IOException {
        Path path = directory.resolve("source.raw");
        Random random = new Random(11);
        try (RandomAccessFile out = new RandomAccessFile(path.toFile(), "rw")) {
            out.setLength(SIZE_BYTES);
            for (int i = 0; i < 60; i++) {
                byte[] data = new byte[512 * (1 + random.nextInt(1000))];
                random.nextBytes(data);
                out.seek(512L * random.nextInt((int) ((SIZE_BYTES - data.length) / 512)));
                out.write(data);
            }
        }
        return path;
    }

    @Test
    void nbdinfo_sees_what_is_offered() throws Exception {
        JsonNode export =
                new ObjectMapper()
                        .readTree(Tool.run("nbdinfo", "--json", fileUri))
                        .path("exports")
                        .path(0);
        assertThat(export.path("export-name").asText()).isEqualTo("file");
        assertThat(export.path("export-size").asLong()).isEqualTo(SIZE_BYTES);
        for (String able :
                new String[] {
                    "can_df",
                    "can_fast_zero",
                    "can_flush",
                    "can_fua",
                    "can_multi_conn",
                    "can_trim",
                    "can_zero"
                }) {
            assertThat(export.path(able).asBoolean()).as(able).isTrue();
        }
        assertThat(export.path("is_read_only").asBoolean()).isFalse();
        assertThat(export.path("can_cache").asBoolean()).isFalse();
        assertThat(export.path("block_size_maximum").asLong()).isEqualTo(32 << 20);
        assertThat(export.path("contexts").toString()).contains("base:allocation");

        String list =
                Tool.run("nbdinfo", "--list", "nbd+unix:///?socket=" + directory.resolve("nbd"));
        assertThat(list).contains("export=\"memory\"", "export=\"file\"");
        assertThat(Tool.ended("nbdinfo", fileUri.replace("///file", "///none")).status())
                .isNotZero();
    }

    @Test
    void qemu_img_copies_compares_and_maps() throws Exception {
        Path source = source();
        for (String uri : new String[] {memoryUri, fileUri}) {
            assertThat(Tool.run("qemu-img", "info", uri)).contains("48 MiB");
            Tool.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source.toString(), uri);
            Tool.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source.toString(), uri);
            String map = Tool.run("qemu-img", "map", "--output=json", "-f", "raw", uri);
            assertThat(map).contains("\"data\": true").contains("\"data\": false");
        }
        assertThat(Files.mismatch(source, image)).isEqualTo(-1);
        Path back = directory.resolve("back.qcow2");
        Tool.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", memoryUri, back.toString());
        Tool.run("qemu-img", "compare", "-F", "qcow2", "-f", "raw", fileUri, back.toString());
    }

    @Test
    void qemu_io_writes_zeroes_discards_and_flushes() throws Exception {
        for (String uri : new String[] {memoryUri, fileUri}) {
            String said =
                    Tool.run(
                            "qemu-io",
                            "-f",
                            "raw",
                            "-d",
                            "unmap",
                            "-c",
                            "write -P 0xab 0 8M",
                            "-c",
                            "write -f -P 0xcd 1000k 13k",
                            "-c",
                            "read -P 0xcd 1000k 13k",
                            "-c",
                            "write -z 2M 1M",
                            "-c",
                            "read -P 0 2M 1M",
                            "-c",
                            "write -z -u 4M 1M",
                            "-c",
                            "read -P 0 4M 1M",
                            "-c",
                            "read -P 0xab 5M 3M",
                            "-c",
                            "discard 6M 1M",
                            "-c",
                            "flush",
                            "-c",
                            "write -P 0x11 16M 32M",
                            "-c",
                            "read -P 0x11 16M 32M",
                            uri);
            assertThat(said).doesNotContain("failed").contains("wrote 33554432/33554432");
        }
        assertThat(server.statistics("file").flushRequests()).isPositive();
        assertThat(server.statistics("file").bytesZeroed()).isEqualTo(2 << 20);
        assertThat(server.statistics("file").errors()).isZero();
    }

    @Test
    void zeroed_and_trimmed_ranges_of_a_file_give_their_storage_back() throws Exception {
        Tool.run("qemu-io", "-f", "raw", "-c", "write -P 0xab 0 48M", "-c", "flush", fileUri);
        long full = storageBytes();
        assertThat(full).isGreaterThanOrEqualTo(SIZE_BYTES);
        Tool.run("qemu-io", "-f", "raw", "-d", "unmap", "-c", "write -z -u 0 16M", fileUri);
        assertThat(storageBytes()).isLessThanOrEqualTo(full - (16 << 20));
        Tool.run("qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 16M 16M", fileUri);
        assertThat(storageBytes()).isLessThanOrEqualTo(full - (32 << 20));
        String map = Tool.run("nbdinfo", "--map", fileUri);
        assertThat(map.lines().findFirst().orElseThrow()).matches(" *0 +33554432 +3 +hole,zero");
        assertThat(map.lines().skip(1).findFirst().orElseThrow())
                .matches(" *33554432 +16777216 +0 +data");
        // Zeros that must stay allocated do.
        Tool.run("qemu-io", "-f", "raw", "-c", "write -z 32M 16M", fileUri);
        assertThat(storageBytes()).isGreaterThanOrEqualTo(16 << 20);
    }

    private long storageBytes() throws Exception {
        return 512 * Long.parseLong(Tool.run("stat", "-c", "%b", image.toString()).strip());
    }

    @Test
    void nbdcopy_copies_over_several_connections() throws Exception {
        Path source = source();
        Path back = directory.resolve("back.raw");
        Tool.run("nbdcopy", "--connections=4", "--flush", source.toString(), memoryUri);
        Tool.run("nbdcopy", "--connections=4", "--flush", memoryUri, fileUri);
        Tool.run("nbdcopy", "--connections=4", fileUri, back.toString());
        assertThat(Files.mismatch(source, back)).isEqualTo(-1);
        assertThat(Files.mismatch(source, image)).isEqualTo(-1);
        assertThat(server.statistics("file").errors()).isZero();
    }

    @Test
    void fio_finds_what_it_wrote() throws Exception {
        for (String uri : new String[] {memoryUri, fileUri}) {
            Tool.run(
                    "fio",
                    "--name=verify",
                    "--ioengine=nbd",
                    "--uri=" + uri,
                    "--rw=randrw",
                    "--bsrange=512-256k",
                    "--iodepth=16",
                    "--io_size=64m",
                    "--verify=crc32c",
                    "--verify_fatal=1",
                    "--randseed=5",
                    "--aux-path=" + directory);
        }
        assertThat(server.statistics("memory").bytesWritten()).isPositive();
    }

    @Test
    void a_read_only_file_stays_as_it_is() throws Exception {
        Path source = source();
        try (FileExport fixed = FileExport.open("fixed", source, BlockFile.Access.READ_ONLY)) {
            server.add(fixed);
            String uri = memoryUri.replace("///memory", "///fixed");
            assertThat(Tool.run("nbdinfo", "--json", uri)).contains("\"is_read_only\": true");
            Tool.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source.toString(), uri);
            // QEMU's tools do not even open it for writing.
            assertThat(Tool.ended("qemu-io", "-f", "raw", "-c", "write 0 4k", uri).status())
                    .isNotZero();
            Tool.run("qemu-io", "-r", "-f", "raw", "-c", "read 0 4k", uri);
            server.remove("fixed");
        }
    }
}
