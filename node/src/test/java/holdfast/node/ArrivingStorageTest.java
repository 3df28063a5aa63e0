package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.engine.migrate.Cookies;
import holdfast.node.api.ApiException;
import holdfast.node.link.AcceptCookie;
import holdfast.node.link.BeginCookie;
import holdfast.node.link.CookieJson;
import holdfast.qemu.launch.DomainSpec;
import holdfast.wire.Bytes;
import holdfast.wire.ProtocolException;
import holdfast.wire.link.LinkMessage;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;

class ArrivingStorageTest {
    private static final UUID MIGRATION = UUID.randomUUID();
    private static final String PROBE = ".holdfast-" + MIGRATION;
    private static final long DISK_BYTES = 1 << 20;

    @TempDir Path directory;
    private Path image;
    private Path replicas;

    @BeforeEach
    void place() throws Exception {
        replicas = directory.resolve("replicas");
        Path images = Files.createDirectory(directory.resolve("images"));
        image = images.resolve("web.img");
        Files.write(image, new byte[(int) DISK_BYTES]);
    }

    private DomainSpec domain(DomainSpec.Disk... disks) {
        return DomainSpec.of("web", MIGRATION, 64).withDisks(List.of(disks));
    }

    private static DomainSpec.Disk disk(Path path, DomainSpec.Access access) {
        return new DomainSpec.Disk(path, DomainSpec.Format.RAW, access);
    }

    private DomainSpec web() {
        return domain(disk(image, DomainSpec.Access.READ_WRITE));
    }

    private static BeginCookie cookie(
            List<String> probes, BeginCookie.Wish wish, BeginCookie.Disk... disks) {
        return new BeginCookie(
                Cookies.VERSION,
                "7.2",
                "{}",
                Map.of(),
                List.of(),
                probes,
                wish == null ? null : new BeginCookie.Storage(wish, List.of(disks)),
                null,
                BeginCookie.Intent.MOVE);
    }

    private static BeginCookie.Disk named(String name, String probe) {
        return new BeginCookie.Disk(0, DISK_BYTES, 4096, name, probe);
    }

    private ArrivingStorage decide(
            DomainSpec spec, BeginCookie cookie, Optional<Path> replicaDirectory) {
        return ArrivingStorage.decide(
                spec,
                new LinkMessage.OpenMigration(
                        MIGRATION, "web", 0, 64 << 20, 100, 500, 1, Bytes.ofHex("7b7d")),
                cookie,
                "b",
                replicaDirectory);
    }

    private void refused(DomainSpec spec, BeginCookie cookie, String... words) {
        for (String word : words) {
            assertThatThrownBy(() -> decide(spec, cookie, Optional.empty()))
                    .isInstanceOf(ApiException.class)
                    .hasMessageContaining(word);
        }
    }

    private void probe(Path beside) throws Exception {
        Files.writeString(beside.resolveSibling(PROBE), MIGRATION.toString());
    }

    @Test
    void an_image_with_the_sources_file_beside_it_is_shared() throws Exception {
        probe(image);
        ArrivingStorage shared =
                decide(
                        web(),
                        cookie(List.of(), BeginCookie.Wish.AUTO, named("web.img", PROBE)),
                        Optional.of(replicas));
        assertThat(shared.copies()).isEmpty();
        assertThat(shared.spec()).isEqualTo(web());
    }

    @Test
    void one_without_it_is_copied_to_its_own_path_or_the_nodes_directory() {
        BeginCookie cookie = cookie(List.of(), BeginCookie.Wish.AUTO, named("web.img", PROBE));
        assertThat(decide(web(), cookie, Optional.empty()).copies())
                .containsExactly(new AcceptCookie.Copy(0, DISK_BYTES, image.toString()));
        ArrivingStorage elsewhere = decide(web(), cookie, Optional.of(replicas));
        assertThat(elsewhere.copies())
                .containsExactly(
                        new AcceptCookie.Copy(
                                0, DISK_BYTES, replicas.resolve("web/disk0.raw").toString()));
        assertThat(elsewhere.spec().disks().getFirst().path())
                .isEqualTo(replicas.resolve("web/disk0.raw"));
        assertThat(replicas).as("nothing is made yet").doesNotExist();
    }

    @Test
    void another_file_of_a_shared_directory_and_an_old_probe_mean_nothing() throws Exception {
        probe(image);
        BeginCookie another = cookie(List.of(), BeginCookie.Wish.AUTO, named("data.img", PROBE));
        assertThat(decide(web(), another, Optional.empty()).copies()).hasSize(1);
        Files.writeString(image.resolveSibling(PROBE), UUID.randomUUID().toString());
        BeginCookie same = cookie(List.of(), BeginCookie.Wish.AUTO, named("web.img", PROBE));
        assertThat(decide(web(), same, Optional.empty()).copies()).hasSize(1);
    }

    @Test
    void a_link_to_the_shared_image_is_followed_and_never_copied_into() throws Exception {
        probe(image);
        Path link = directory.resolve("link.img");
        Files.createSymbolicLink(link, image);
        DomainSpec linked = domain(disk(link, DomainSpec.Access.READ_WRITE));
        assertThat(
                        decide(
                                        linked,
                                        cookie(
                                                List.of(),
                                                BeginCookie.Wish.AUTO,
                                                named("web.img", PROBE)),
                                        Optional.empty())
                                .copies())
                .isEmpty();
        refused(
                linked,
                cookie(List.of(), BeginCookie.Wish.COPY, named("web.img", PROBE)),
                "one and the same on both nodes",
                "--replica-directory");
    }

    @Test
    void what_must_be_shared_and_is_not_is_refused() {
        refused(
                web(),
                cookie(List.of(), BeginCookie.Wish.SHARED, named("web.img", PROBE)),
                image.toString(),
                PROBE,
                "without --storage shared it is copied");
    }

    @Test
    void a_block_device_needs_the_operators_word() {
        refused(
                web(),
                cookie(List.of(), BeginCookie.Wish.AUTO, named("loop0", "")),
                "--storage shared or --storage copy");
        refused(
                web(),
                cookie(List.of(), BeginCookie.Wish.SHARED, named("loop0", "")),
                "block device on the source and not on node b");
    }

    @Test
    void a_copied_block_device_needs_a_place_that_somebody_named() {
        BeginCookie copied = cookie(List.of(), BeginCookie.Wish.COPY, named("loop0", ""));
        refused(
                web(),
                copied,
                image + " is a block device",
                "`replica` in the domain's description",
                "start node b with --replica-directory");
        assertThat(decide(web(), copied, Optional.of(replicas)).copies())
                .extracting(AcceptCookie.Copy::path)
                .containsExactly(replicas.resolve("web/disk0.raw").toString());
        for (Path place : List.of(directory.resolve("copy.raw"), image)) {
            DomainSpec named =
                    domain(
                            new DomainSpec.Disk(
                                    image,
                                    DomainSpec.Format.RAW,
                                    DomainSpec.Access.READ_WRITE,
                                    OptionalLong.empty(),
                                    Optional.of(place),
                                    Optional.empty()));
            assertThat(decide(named, copied, Optional.empty()).copies())
                    .extracting(AcceptCookie.Copy::path)
                    .containsExactly(place.toString());
        }
    }

    @Test
    void a_disk_that_does_not_fit_or_is_not_there_is_refused() throws Exception {
        refused(
                web(),
                cookie(
                        List.of(),
                        BeginCookie.Wish.COPY,
                        new BeginCookie.Disk(0, 1L << 46, 1L << 46, "web.img", PROBE)),
                "no room for disk " + image,
                "node b");
        DomainSpec withCd =
                domain(
                        disk(image, DomainSpec.Access.READ_WRITE),
                        disk(directory.resolve("cd.iso"), DomainSpec.Access.READ_ONLY));
        refused(
                withCd,
                cookie(List.of(), BeginCookie.Wish.COPY, named("web.img", PROBE)),
                "cd.iso cannot be read on node b");
        refused(
                withCd,
                cookie(
                        List.of(),
                        BeginCookie.Wish.COPY,
                        new BeginCookie.Disk(1, DISK_BYTES, 0, "cd.iso", PROBE)),
                "disk 1, which the description does not call writable");
        refused(
                web(),
                cookie(List.of(), BeginCookie.Wish.AUTO, named("web.img", "../x")),
                "the source names a file");
    }

    @Test
    void a_cookie_that_makes_no_sense_is_refused_as_a_whole() {
        for (String storage :
                List.of(
                        "{'disks':[]}",
                        "{'wish':'SOME','disks':[]}",
                        "{'wish':'AUTO','disks':[{'disk':0,'bytes':0,'allocatedBytes':0,'name':'a','probe':''}]}",
                        "{'wish':'AUTO','disks':[{'disk':0,'bytes':512,'allocatedBytes':0,'name':'a'}]}",
                        "{'wish':'AUTO','disks':[{'disk':0,'bytes':512,'allocatedBytes':0,'name':'a','probe':''},"
                            + "{'disk':0,'bytes':512,'allocatedBytes':0,'name':'b','probe':''}]}")) {
            String cookie = "{'version':1,'storage':" + storage + "}";
            assertThatThrownBy(
                            () ->
                                    CookieJson.read(
                                            "Begin",
                                            Bytes.copyOf(cookie.replace('\'', '"').getBytes()),
                                            BeginCookie.class))
                    .as(cookie)
                    .isInstanceOf(ProtocolException.class);
        }
    }

    @Test
    void a_source_that_cannot_send_disks_must_share_them() throws Exception {
        String seen = image.resolveSibling(PROBE).toString();
        refused(web(), cookie(List.of(seen), null), "whose release cannot copy them");
        probe(image);
        ArrivingStorage shared = decide(web(), cookie(List.of(seen), null), Optional.of(replicas));
        assertThat(shared.copies()).isEmpty();
        assertThat(shared.spec()).isEqualTo(web());
    }
}
