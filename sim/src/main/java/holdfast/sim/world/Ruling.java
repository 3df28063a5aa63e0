package holdfast.sim.world;

import holdfast.engine.port.Arbiter;
import holdfast.sim.time.VirtualTime;

import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/** The arbiter of one protection, seen from where everything can be seen. */
final class Ruling {
    /** Carries a person's decision to a node. */
    interface Operator {
        /** The asker goes on, because a person says so. */
        void goOn(Arbiter.Role role);
    }

    private final Plan plan;
    private final VirtualTime time;
    private final SplittableRandom random;
    private final Operator operator;
    private final Trace trace;
    private Optional<Arbiter.Role> owner = Optional.empty();

    Ruling(Plan plan, VirtualTime time, SplittableRandom random, Operator operator, Trace trace) {
        this.plan = plan;
        this.time = time;
        this.random = random;
        this.operator = operator;
        this.trace = trace;
    }

    /** Who was told to go on. */
    Optional<Arbiter.Role> owner() {
        return owner;
    }

    Arbiter port() {
        return new Arbiter() {
            @Override
            public String kind() {
                return plan.arbiter().name().toLowerCase(java.util.Locale.ROOT);
            }

            @Override
            public void ask(String domain, long generation, Role role, Consumer<Verdict> answer) {
                Ruling.this.ask(role, answer);
            }
        };
    }

    private void ask(Arbiter.Role role, Consumer<Arbiter.Verdict> answer) {
        trace.say("arbiter", () -> role + " asks");
        switch (plan.arbiter()) {
            case NONE -> {
                owner = Optional.of(role);
                answer.accept(Arbiter.Verdict.GO_ON);
            }
            case GENERATION, OPERATOR -> {
                long way = random.nextLong(plan.operatorNanos() / 2 + 1);
                time.after(way, () -> decide(role, answer));
            }
        }
    }

    private void decide(Arbiter.Role role, Consumer<Arbiter.Verdict> answer) {
        if (owner.isEmpty()) {
            owner = Optional.of(role);
            trace.say("arbiter", () -> role + " owns the domain");
        }
        long way = random.nextLong(plan.operatorNanos() / 2 + 1);
        time.after(
                way,
                () -> {
                    if (owner.orElseThrow() != role) {
                        answer.accept(Arbiter.Verdict.STAND_DOWN);
                    } else if (plan.arbiter() == Plan.ArbiterKind.OPERATOR) {
                        operator.goOn(role);
                    } else {
                        answer.accept(Arbiter.Verdict.GO_ON);
                    }
                });
    }
}
