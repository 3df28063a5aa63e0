package holdfast.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import holdfast.node.api.ApiException;
import holdfast.node.api.DomainStatus.Role;
import holdfast.node.api.ProgressListener;
import holdfast.node.api.RemusRequest.ArbiterKind;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

import java.nio.file.Files;
import java.nio.file.Path;

/** A domain whose image both nodes share, and that is to be protected all the same. */
@Tag("qemu")
@Timeout(120)
class SharedImageTest {
    @Test
    void a_replica_in_the_domains_own_image_is_refused_with_what_is_so() throws Exception {
        try (TestHosts hosts = new TestHosts()) {
            Node a = hosts.startWithoutReplicaDirectory("a");
            Node b = hosts.startWithoutReplicaDirectory("b");
            Path image = hosts.directory.resolve("disk.raw");
            Files.write(image, new byte[1 << 20]);
            a.create(hosts.guestWith("g", "disks: [{path: " + image + ", format: raw}]"));
            assertThatThrownBy(
                            () ->
                                    a.remus(
                                            TestHosts.staying("g", ArbiterKind.NONE, b.port()),
                                            ProgressListener.none()))
                    .isInstanceOfSatisfying(
                            ApiException.class,
                            // As a migration that the other node refuses.
                            e -> assertThat(e.kind()).isEqualTo(ApiException.Kind.BAD_REQUEST))
                    .hasMessageContaining(image + " is in use by another process")
                    .hasMessageContaining("if both nodes share it, that is the domain itself")
                    .hasMessageContaining("--replica-directory");
            assertThat(a.status("g").role()).isEqualTo(Role.UNPROTECTED);
            assertThat(b.list()).isEmpty();
        }
    }
}
