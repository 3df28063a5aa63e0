package holdfast.cli;

import holdfast.node.api.AttachRequest;
import holdfast.node.api.DomainStatus;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code holdfast attach}. */
@Command(
        name = "attach",
        description =
                "Take over a QEMU that somebody else started, with its main memory in a shared"
                        + " file.",
        footer = {
            "",
            "Example:",
            "  qemu-system-x86_64 -object"
                    + " memory-backend-file,id=ram,size=256M,mem-path=/dev/shm/web,share=on \\",
            "    -machine q35,memory-backend=ram,suppress-vmdesc=on -nodefaults \\",
            "    -global migration.send-configuration=off \\",
            "    -drive file=web.qcow2,if=virtio -qmp unix:/run/web.qmp,server=on,wait=off ...",
            "  holdfast attach --qmp /run/web.qmp --name web"
        })
final class AttachCommand extends NodeCommand {
    @Option(
            names = "--qmp",
            required = true,
            paramLabel = "SOCKET",
            description = "QEMU's QMP Unix socket.")
    private String qmp;

    @Option(
            names = "--name",
            paramLabel = "NAME",
            description = "The domain's name here (default: QEMU's -name).")
    private String name;

    AttachCommand(Holdfast holdfast) {
        super(holdfast);
    }

    @Override
    void run() {
        DomainStatus status =
                holdfast.node()
                        .attach(
                                new AttachRequest(
                                        holdfast.surroundings.path(qmp).toString(), name));
        answer(
                status,
                status.name()
                        + " is "
                        + status.state().text()
                        + " on "
                        + status.node()
                        + ", process "
                        + status.pid());
    }
}
