package holdfast.cli.demo;

/** How far the demo goes after host A has died. */
public enum Ending {
    /** Until the client has written on to the survivor. */
    SURVIVED,
    /** Until host A has come back and protects the domain again. */
    PROTECTED_AGAIN,
    /** Until host B, too, has died, and the domain runs on A again. */
    DIED_AGAIN
}
