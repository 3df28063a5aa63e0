package holdfast.cli;

import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.library.dependencies.SlicesRuleDefinition;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Dependencies point inward: wire, engine, qemu and sim, node, cli. */
class ArchitectureTest {
    private static JavaClasses all;

    @BeforeAll
    static void read() {
        all =
                new ClassFileImporter()
                        .withImportOption(new ImportOption.DoNotIncludeTests())
                        .importPackages("holdfast");
    }

    private static void onlyUses(String module, String... others) {
        String[] allowed = new String[others.length + 2];
        allowed[0] = "java..";
        allowed[1] = "holdfast." + module + "..";
        System.arraycopy(others, 0, allowed, 2, others.length);
        classes()
                .that()
                .resideInAPackage("holdfast." + module + "..")
                .should()
                .onlyDependOnClassesThat(
                        resideInAnyPackage(allowed).or(resideInAPackage("").and(arrays())))
                .check(all);
    }

    /** Arrays of primitives have no package. */
    private static DescribedPredicate<JavaClass> arrays() {
        return DescribedPredicate.describe(
                "primitive or array", type -> type.isPrimitive() || type.isArray());
    }

    @Test
    void every_module_was_read() {
        Set<String> modules =
                all.stream()
                        .map(type -> type.getPackageName().split("\\.")[1])
                        .collect(Collectors.toSet());
        assertThat(modules).contains("wire", "engine", "qemu", "sim", "node", "cli");
    }

    @Test
    void wire_knows_the_jdk_alone() {
        onlyUses("wire");
    }

    @Test
    void engine_knows_wire_and_the_jdk() {
        onlyUses("engine", "holdfast.wire..");
    }

    @Test
    void qemu_knows_engine_wire_json_and_the_log() {
        onlyUses(
                "qemu",
                "holdfast.engine..",
                "holdfast.wire..",
                "com.fasterxml.jackson..",
                "org.slf4j..");
    }

    @Test
    void sim_knows_engine_and_wire() {
        onlyUses("sim", "holdfast.engine..", "holdfast.wire..");
    }

    @Test
    void node_knows_no_command_line_and_no_simulator() {
        noClasses()
                .that()
                .resideInAPackage("holdfast.node..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "holdfast.cli..", "holdfast.sim..", "holdfast.bench..", "picocli..")
                .check(all);
    }

    @Test
    void only_node_and_the_command_line_name_adapters() {
        noClasses()
                .that()
                .resideOutsideOfPackages(
                        "holdfast.qemu..", "holdfast.node..", "holdfast.cli..", "holdfast.bench..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("holdfast.qemu..")
                .check(all);
    }

    @Test
    void engine_and_wire_start_no_thread_and_open_no_socket() {
        noClasses()
                .that()
                .resideInAnyPackage("holdfast.wire..", "holdfast.engine..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("java.net..")
                .orShould()
                .dependOnClassesThat(
                        DescribedPredicate.describe(
                                "are threads", type -> type.isEquivalentTo(Thread.class)))
                .check(all);
    }

    @Test
    void only_one_package_calls_into_c() {
        noClasses()
                .that()
                .resideOutsideOfPackage("holdfast.qemu.linux")
                .should()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.lang.foreign.Linker")
                .orShould()
                .dependOnClassesThat()
                .haveFullyQualifiedName("java.lang.foreign.SymbolLookup")
                .check(all);
    }

    @Test
    void memory_is_reinterpreted_only_where_it_is_mapped() {
        noClasses()
                .that()
                .resideOutsideOfPackages("holdfast.qemu.linux", "holdfast.qemu.memory")
                .should()
                .callMethodWhere(
                        DescribedPredicate.describe(
                                "reinterpret a segment",
                                call ->
                                        call.getTarget().getName().equals("reinterpret")
                                                && call.getTargetOwner()
                                                        .getName()
                                                        .equals("java.lang.foreign.MemorySegment")))
                .check(all);
    }

    @Test
    void guest_memory_lives_as_long_as_its_owner_says() {
        noClasses()
                .that()
                .resideOutsideOfPackage("holdfast.qemu.linux")
                .should()
                .callMethodWhere(
                        DescribedPredicate.describe(
                                "leave memory to the garbage collector",
                                call ->
                                        call.getTarget().getName().equals("ofAuto")
                                                && call.getTargetOwner()
                                                        .getName()
                                                        .equals("java.lang.foreign.Arena")))
                .check(all);
    }

    @ParameterizedTest
    @ValueSource(strings = {"wire", "qemu", "node"})
    void packages_of_a_module_form_no_cycle(String module) {
        SlicesRuleDefinition.slices()
                .matching("holdfast." + module + ".(*)..")
                .should()
                .beFreeOfCycles()
                .check(all);
    }

    @Test
    void no_room_is_named_after_nothing() {
        noClasses()
                .should()
                .resideInAnyPackage(
                        "..common..",
                        "..util..",
                        "..utils..",
                        "..impl..",
                        "..manager..",
                        "..helper..",
                        "..helpers..")
                .check(all);
    }

    @Test
    void a_sealed_family_stays_in_its_module() {
        List<String> strays =
                all.stream()
                        .filter(
                                type ->
                                        type.isInterface()
                                                || type.getModifiers()
                                                        .contains(JavaModifier.ABSTRACT))
                        .filter(type -> type.getPackageName().startsWith("holdfast."))
                        .flatMap(
                                type -> {
                                    Class<?>[] permitted = type.reflect().getPermittedSubclasses();
                                    return permitted == null
                                            ? java.util.stream.Stream.empty()
                                            : java.util.Arrays.stream(permitted)
                                                    .filter(
                                                            sub ->
                                                                    !module(sub.getName())
                                                                            .equals(
                                                                                    module(
                                                                                            type
                                                                                                    .getName())))
                                                    .map(
                                                            sub ->
                                                                    sub.getName()
                                                                            + " of "
                                                                            + type.getName());
                                })
                        .toList();
        assertThat(strays).isEmpty();
    }

    private static String module(String name) {
        return name.split("\\.")[1];
    }

    @Test
    void the_command_line_reaches_the_node_through_its_api() {
        noClasses()
                .that()
                .resideInAPackage("holdfast.cli")
                .should()
                .dependOnClassesThat(
                        resideInAPackage("holdfast.node..")
                                .and(
                                        not(
                                                resideInAnyPackage(
                                                        "holdfast.node",
                                                        "holdfast.node.api",
                                                        "holdfast.node.config",
                                                        "holdfast.node.store"))))
                .orShould()
                .dependOnClassesThat()
                .resideInAPackage("holdfast.qemu..")
                .check(all);
    }
}
