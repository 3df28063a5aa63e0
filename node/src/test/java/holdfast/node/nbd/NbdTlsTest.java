package holdfast.node.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import holdfast.node.nbd.NbdTls.ClientCertificates;
import holdfast.wire.nbd.NbdMessage.Padding;
import holdfast.wire.nbd.NbdOption;
import holdfast.wire.nbd.NbdOptionReply;
import holdfast.wire.nbd.NbdOptionReply.Refusal;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.List;
import java.util.Optional;

import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** TLS over TCP, with the certificates of an authority made for the test. */
@Tag("qemu")
@Timeout(120)
class NbdTlsTest {
    @TempDir static Path certificates;
    private static SSLContext context;

    private NbdServer server;
    private MemoryExport memory;
    private String address;

    @BeforeAll
    static void makeCertificates() throws Exception {
        openssl(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
                        + " -subj /CN=test-authority -keyout ca-key.pem -out ca-cert.pem");
        issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        issue("client", "extendedKeyUsage=clientAuth");
        openssl(
                "pkcs12 -export -in server-cert.pem -inkey server-key.pem -passout pass:test"
                        + " -out server.p12");
        KeyStore own = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(certificates.resolve("server.p12"))) {
            own.load(in, "test".toCharArray());
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(own, "test".toCharArray());
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        try (InputStream in = Files.newInputStream(certificates.resolve("ca-cert.pem"))) {
            trusted.setCertificateEntry(
                    "authority",
                    java.security.cert.CertificateFactory.getInstance("X.509")
                            .generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        // Clients without a certificate look here.
        Path anonymous = Files.createDirectory(certificates.resolve("anonymous"));
        Files.copy(certificates.resolve("ca-cert.pem"), anonymous.resolve("ca-cert.pem"));
    }

    private static void issue(String who, String extension) throws Exception {
        Path extensions = certificates.resolve(who + ".ext");
        Files.writeString(extensions, extension + "\n");
        openssl(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test-"
                        + who
                        + " -keyout "
                        + who
                        + "-key.pem -out "
                        + who
                        + ".csr");
        openssl(
                "x509 -req -in "
                        + who
                        + ".csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile "
                        + who
                        + ".ext -out "
                        + who
                        + "-cert.pem");
    }

    /** File names are made absolute: they are the words with a file's ending. */
    private static void openssl(String arguments) throws Exception {
        String[] words = ("openssl " + arguments).split(" ");
        for (int i = 0; i < words.length; i++) {
            if (words[i].matches(".*\\.(pem|csr|ext|p12)")) {
                words[i] = certificates.resolve(words[i]).toString();
            }
        }
        Tool.run(words);
    }

    @AfterAll
    static void forget() {
        context = null;
    }

    @BeforeEach
    void openMemory() {
        memory = new MemoryExport("disk0", 16 << 20);
    }

    private void open(ClientCertificates clients) throws IOException {
        server =
                NbdServer.open(
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                        NbdLimits.DEFAULT,
                        Optional.of(new NbdTls(context, clients)));
        server.add(memory);
        address = "localhost:" + ((InetSocketAddress) server.address()).getPort();
    }

    @AfterEach
    void close() throws IOException {
        server.close();
        memory.close();
    }

    private String uri(String scheme, String directory) {
        return scheme
                + "://"
                + address
                + "/disk0?tls-certificates="
                + certificates.resolve(directory);
    }

    private Tool.Result qemuIo(String directory, String... commands) throws Exception {
        List<String> words =
                new java.util.ArrayList<>(
                        List.of(
                                "qemu-io",
                                "--object",
                                "tls-creds-x509,id=tls0,endpoint=client,verify-peer=on,dir="
                                        + certificates.resolve(directory),
                                "--image-opts",
                                "driver=raw,file.driver=nbd,file.host=localhost,file.port="
                                        + address.substring(address.indexOf(':') + 1)
                                        + ",file.export=disk0,file.tls-creds=tls0"));
        for (String command : commands) {
            words.add("-c");
            words.add(command);
        }
        return Tool.ended(words.toArray(String[]::new));
    }

    @Test
    void clients_with_tls_read_and_write() throws Exception {
        open(ClientCertificates.NOT_ASKED);
        assertThat(Tool.run("nbdinfo", uri("nbds", "anonymous")))
                .contains("protocol: newstyle-fixed with TLS, using structured packets");
        Tool.Result io =
                qemuIo(
                        "anonymous",
                        "write -P 0xab 0 16M",
                        "read -P 0xab 0 16M",
                        "write -P 0xcd 4095 513",
                        "read -P 0xcd 4095 513",
                        "flush");
        assertThat(io.status()).as(io.output()).isZero();
        Path source = certificates.resolve("source.raw");
        Path back = certificates.resolve("back.raw");
        byte[] data = new byte[16 << 20];
        new java.util.Random(3).nextBytes(data);
        Files.write(source, data);
        Tool.run("nbdcopy", source.toString(), uri("nbds", "anonymous"));
        Tool.run("nbdcopy", uri("nbds", "anonymous"), back.toString());
        assertThat(Files.mismatch(source, back)).isEqualTo(-1);
    }

    @Test
    void clients_without_tls_get_nothing() throws Exception {
        open(ClientCertificates.NOT_ASKED);
        Tool.Result info = Tool.ended("nbdinfo", "nbd://" + address + "/disk0");
        assertThat(info.status()).isNotZero();
        assertThat(info.output()).containsIgnoringCase("TLS");
        Tool.Result image = Tool.ended("qemu-img", "info", "nbd://" + address + "/disk0");
        assertThat(image.status()).isNotZero();
        assertThat(image.output()).containsIgnoringCase("TLS");
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            for (NbdOption option :
                    List.of(
                            new NbdOption.ListExports(),
                            new NbdOption.StructuredReply(),
                            new NbdOption.Go("disk0", List.of()))) {
                assertThat(client.ask(option))
                        .singleElement()
                        .isInstanceOfSatisfying(
                                NbdOptionReply.Refused.class,
                                refused ->
                                        assertThat(refused.refusal())
                                                .isEqualTo(Refusal.ERR_TLS_REQD));
            }
            client.raw(
                    holdfast.wire.Bytes.ofHex("49484156454f5054 00000001 00000005 6469736b30")
                            .toArray());
            client.awaitEnd();
        }
    }

    @Test
    void clients_without_a_certificate_are_turned_away_where_one_is_required() throws Exception {
        open(ClientCertificates.REQUIRED);
        Files.copy(
                certificates.resolve("ca-cert.pem"),
                Files.createDirectories(certificates.resolve("known")).resolve("ca-cert.pem"));
        for (String name : List.of("client-cert.pem", "client-key.pem")) {
            Files.copy(certificates.resolve(name), certificates.resolve("known").resolve(name));
        }
        Tool.Result known = qemuIo("known", "write -P 0xab 0 1M", "read -P 0xab 0 1M");
        assertThat(known.status()).as(known.output()).isZero();
        assertThat(Tool.run("nbdinfo", "--size", uri("nbds", "known")).strip())
                .isEqualTo("16777216");
        assertThat(qemuIo("anonymous", "read 0 1M").status()).isNotZero();
        assertThat(Tool.ended("nbdinfo", uri("nbds", "anonymous")).status()).isNotZero();
    }

    @Test
    void bytes_that_slipped_in_before_tls_end_the_connection() throws Exception {
        open(ClientCertificates.NOT_ASKED);
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            // STARTTLS and a GO in one piece: unprotected, and not to be taken for protected.
            client.raw(
                    holdfast.wire.Bytes.ofHex(
                                    "49484156454f5054 00000005 00000000"
                                            + "49484156454f5054 00000007 0000000b 00000005"
                                            + "6469736b30 0000")
                            .toArray());
            assertThat(client.optionReply()).isEqualTo(new NbdOptionReply.Ack(5));
            client.awaitEnd();
        }
        try (TestClient client = TestClient.greeted(server.address(), Padding.NONE)) {
            // Acknowledged, then garbage for a TLS handshake.
            client.ask(new NbdOption.StartTls());
            client.raw(new byte[300]);
            client.awaitEnd();
        }
        assertThat(Tool.run("nbdinfo", "--size", uri("nbds", "anonymous")).strip())
                .isEqualTo("16777216");
    }
}
