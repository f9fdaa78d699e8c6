package systest;

/** The strategy can't do what the spec asks of it; one sentence that says what and why. */
final class CannotRun extends Exception {
    private static final long serialVersionUID = 1L;

    CannotRun(String sentence) {
        super(sentence);
    }
}
