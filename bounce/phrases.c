#include "bounce/phrases.h"

/* clang-format off */
/* NOLINTBEGIN(bugprone-suspicious-missing-comma): a phrase is joined from its lines */
static const char *const phrases[][PHRASE_COUNT] = {
    [BOUNCE_ENGLISH] = {
        [PHRASE_GREETING] = "This is the mail system at host %.\n",
        [PHRASE_FAILURE] =
            "Your message could not be delivered to one or more recipients. What\n"
            "happened is said below for each of them.\n",
        [PHRASE_DELAY] =
            "This is a warning only: you need not send your message again. It could\n"
            "not be delivered yet to one or more recipients and is still being retried.\n",
        [PHRASE_SUCCESS] = "As you asked, this reports that your message left for these recipients.\n",
        [PHRASE_HOST_SAID] = "host % said: %",
        [PHRASE_GUARANTEE_SINCE] =
            "    Your TLS guarantee, on since %,\n"
            "    stopped this message. No part of it was sent to this recipient.\n",
        [PHRASE_GUARANTEE] =
            "    Your TLS guarantee stopped this message. No part of it was sent to\n"
            "    this recipient.\n",
        [PHRASE_REQUIREMENT] =
            "    A TLS requirement for this message or this recipient's domain stopped\n"
            "    it. No part of it was sent to this recipient.\n",
        [PHRASE_REQUIRED] = "    Required: %\n",
        [PHRASE_EVIDENCE] = "    What the recipient's mail hosts showed:\n",
        [PHRASE_EVIDENCE_AS_FOR] =
            "    What the recipient's mail hosts showed is said above for <%>.\n",
        [PHRASE_EVIDENCE_CUT] = "      (and more that is left out here)\n",
        [PHRASE_HELD_UNTIL] =
            "    The message is held for this recipient under the ID %\n"
            "    until %, and dropped then without a further notice.\n",
        [PHRASE_HELD] = "    The message is held for this recipient under the ID %.\n",
        [PHRASE_NOT_HELD] = "    The message is not kept for this recipient.\n",
        [PHRASE_NOW] = "    What you can do now:\n",
        [PHRASE_RELEASE] =
            "    - Ask your administrator to send it without the guarantee:\n"
            "      %\n",
        [PHRASE_RELEASE_FORCE] =
            "    - The recipient's domain itself asks for verified TLS (DANE, MTA-STS).\n"
            "      Ask your administrator if it is to be sent in spite of that:\n"
            "      %\n",
        [PHRASE_RELEASE_REFUSED] =
            "    - It cannot be released: a policy of this mail system, or REQUIRETLS asked\n"
            "      for with the message, requires TLS here.\n",
        [PHRASE_RECHECK] =
            "    - When the recipient's side has been repaired, ask your administrator to\n"
            "      have it tried again as it is:\n"
            "      %\n",
        [PHRASE_SWITCH] =
            "    - Or have the guarantee of your account switched off, and send the\n"
            "      message again: it may then go unencrypted.\n",
        [PHRASE_SWITCH_FIRST] =
            "    - Have the guarantee of your account switched off, and send the message\n"
            "      again: it may then go unencrypted.\n",
        [PHRASE_POSTMASTER] =
            "    - Send this notice to the recipient's postmaster, by another way: the\n"
            "      lines above say what to look for.\n",
        [PHRASE_TIME_IS_OVER] = "    It was tried again and again until its time was over.\n",
        [PHRASE_RETRY_UNTIL] = "    It will be tried until %.\n",
        [PHRASE_DELIVERED] = "    Delivered to the recipient's mail host.\n",
        [PHRASE_RELAYED] =
            "    Taken over by the next host, which does not report its delivery.\n",
        [PHRASE_PASSED_ON] =
            "    Taken over by the next host, which was asked to report its delivery.\n",
        [PHRASE_LEFT_AT] =
            "    It left at %\n"
            "    for host %.\n",
        [PHRASE_LEFT_TLS] = "    It left encrypted: %.\n",
        [PHRASE_LEFT_VERIFIED] = "    That this is the right host was verified by %.\n",
        [PHRASE_LEFT_UNVERIFIED] = "    That this is the right host was not verified.\n",
        [PHRASE_LEFT_CLEAR] =
            "    It left unencrypted, in clear text: on the way it could be read.\n",
        [PHRASE_LEFT_LOCAL] = "    It stayed on this machine: nothing crossed a network.\n",
        [PHRASE_DOWNGRADE] =
            "    This is new: host % offered TLS that worked until\n"
            "    %. It may be a mistake there, or somebody on\n"
            "    the way keeps TLS from being used.\n",
        [PHRASE_NOT_IN_CLEAR] = "    It was not sent there unencrypted.\n",
        [PHRASE_SUSPENDED] =
            "    TLS is missing at many destinations at once, so the fault may lie on our\n"
            "    side, not on the recipient's. Therefore the message is not stopped, nor\n"
            "    sent unencrypted: it is tried again.\n",
        [PHRASE_REDACTED] =
            "So that this notice gives away nothing under way, only the date, the\n"
            "Message-ID and the author of your message are returned with it.\n",
    },
    [BOUNCE_GERMAN] = {
        [PHRASE_GREETING] = "Dies ist das Mailsystem auf %.\n",
        [PHRASE_FAILURE] =
            "Ihre Nachricht konnte an mindestens einen Empfänger nicht zugestellt\n"
            "werden. Was geschehen ist, steht unten bei jedem Empfänger.\n",
        [PHRASE_DELAY] =
            "Dies ist nur eine Warnung: Sie brauchen Ihre Nachricht nicht noch einmal\n"
            "zu senden. Sie konnte mindestens einem Empfänger noch nicht zugestellt\n"
            "werden; die Zustellung wird weiter versucht.\n",
        [PHRASE_SUCCESS] =
            "Wie gewünscht: Ihre Nachricht ist an diese Empfänger abgegangen.\n",
        [PHRASE_HOST_SAID] = "host % said: %",
        [PHRASE_GUARANTEE_SINCE] =
            "    Ihre TLS-Versandgarantie, eingeschaltet seit %,\n"
            "    hat diese Nachricht angehalten. Nichts davon ging an diesen Empfänger.\n",
        [PHRASE_GUARANTEE] =
            "    Ihre TLS-Versandgarantie hat diese Nachricht angehalten. Nichts davon\n"
            "    ging an diesen Empfänger.\n",
        [PHRASE_REQUIREMENT] =
            "    Für diese Nachricht oder die Domain dieses Empfängers ist TLS verlangt;\n"
            "    darum wurde sie angehalten. Nichts davon ging an diesen Empfänger.\n",
        [PHRASE_REQUIRED] = "    Verlangt war: %\n",
        [PHRASE_EVIDENCE] = "    Was die Mailserver des Empfängers gezeigt haben:\n",
        [PHRASE_EVIDENCE_AS_FOR] =
            "    Was die Mailserver des Empfängers gezeigt haben, steht oben bei <%>.\n",
        [PHRASE_EVIDENCE_CUT] = "      (und weiteres, das hier fehlt)\n",
        [PHRASE_HELD_UNTIL] =
            "    Die Nachricht wird für diesen Empfänger unter der Kennung % bis\n"
            "    % aufbewahrt und danach ohne weitere Meldung verworfen.\n",
        [PHRASE_HELD] =
            "    Die Nachricht wird für diesen Empfänger unter der Kennung % aufbewahrt.\n",
        [PHRASE_NOT_HELD] = "    Die Nachricht wird für diesen Empfänger nicht aufbewahrt.\n",
        [PHRASE_NOW] = "    Was Sie jetzt tun können:\n",
        [PHRASE_RELEASE] =
            "    - Bitten Sie Ihren Administrator, sie ohne die Garantie zu senden:\n"
            "      %\n",
        [PHRASE_RELEASE_FORCE] =
            "    - Die Domain des Empfängers verlangt selbst geprüftes TLS (DANE, MTA-STS).\n"
            "      Bitten Sie Ihren Administrator, wenn sie trotzdem gesendet werden soll:\n"
            "      %\n",
        [PHRASE_RELEASE_REFUSED] =
            "    - Sie kann nicht freigegeben werden: Eine Regel dieses Mailsystems verlangt\n"
            "      hier TLS, oder die Nachricht selbst verlangt es (REQUIRETLS).\n",
        [PHRASE_RECHECK] =
            "    - Wenn die Seite des Empfängers in Ordnung gebracht ist, bitten Sie Ihren\n"
            "      Administrator, sie so, wie sie ist, noch einmal versuchen zu lassen:\n"
            "      %\n",
        [PHRASE_SWITCH] =
            "    - Oder lassen Sie die Garantie für Ihr Konto ausschalten, und senden Sie\n"
            "      die Nachricht noch einmal: Dann geht sie womöglich unverschlüsselt.\n",
        [PHRASE_SWITCH_FIRST] =
            "    - Lassen Sie die Garantie für Ihr Konto ausschalten, und senden Sie die\n"
            "      Nachricht noch einmal: Dann geht sie womöglich unverschlüsselt.\n",
        [PHRASE_POSTMASTER] =
            "    - Geben Sie diese Meldung auf anderem Weg an den Postmaster des\n"
            "      Empfängers weiter: Die Zeilen oben sagen, wonach zu suchen ist.\n",
        [PHRASE_TIME_IS_OVER] =
            "    Die Zustellung wurde immer wieder versucht, bis die Zeit um war.\n",
        [PHRASE_RETRY_UNTIL] = "    Die Zustellung wird versucht bis %.\n",
        [PHRASE_DELIVERED] = "    Dem Mailserver des Empfängers zugestellt.\n",
        [PHRASE_RELAYED] =
            "    Vom nächsten Server übernommen; er meldet die Zustellung nicht.\n",
        [PHRASE_PASSED_ON] =
            "    Vom nächsten Server übernommen; er ist gebeten, die Zustellung zu melden.\n",
        [PHRASE_LEFT_AT] =
            "    Gesendet am %\n"
            "    an den Server %.\n",
        [PHRASE_LEFT_TLS] = "    Verschlüsselt gesendet: %.\n",
        [PHRASE_LEFT_VERIFIED] = "    Dass es der richtige Server ist, wurde geprüft durch %.\n",
        [PHRASE_LEFT_UNVERIFIED] = "    Dass es der richtige Server ist, wurde nicht geprüft.\n",
        [PHRASE_LEFT_CLEAR] =
            "    Unverschlüsselt gesendet, im Klartext: Unterwegs war sie lesbar.\n",
        [PHRASE_LEFT_LOCAL] =
            "    Sie blieb auf dieser Maschine: Nichts davon ging über ein Netz.\n",
        [PHRASE_DOWNGRADE] =
            "    Das ist neu: Der Server % bot funktionierendes TLS an bis\n"
            "    %. Das kann ein Fehler dort sein, oder jemand auf\n"
            "    dem Weg verhindert TLS.\n",
        [PHRASE_NOT_IN_CLEAR] = "    Sie wurde dorthin nicht unverschlüsselt gesendet.\n",
        [PHRASE_SUSPENDED] =
            "    TLS fehlt an vielen Zielen zugleich; der Fehler liegt womöglich bei uns und\n"
            "    nicht beim Empfänger. Darum wird die Nachricht nicht angehalten und auch\n"
            "    nicht unverschlüsselt gesendet, sondern weiter versucht.\n",
        [PHRASE_REDACTED] =
            "Damit diese Meldung unterwegs nichts verrät, enthält sie von Ihrer\n"
            "Nachricht nur das Datum, die Message-ID und den Absender.\n",
    },
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */
/* clang-format on */

static const char *const names[] = {[BOUNCE_ENGLISH] = "en", [BOUNCE_GERMAN] = "de"};

bool bounce_language_parse(struct slice in, enum bounce_language *out)
{
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (slice_equal_nocase(in, slice_of(names[i]))) {
            *out = (enum bounce_language)i;
            return true;
        }
    }
    return false;
}

const char *bounce_language_name(enum bounce_language l)
{
    if ((unsigned)l >= COUNT_OF(names))
        panic("bounce_language_name: %d", (int)l);
    return names[l];
}

const char *phrase_text(enum bounce_language language, enum phrase phrase)
{
    if ((unsigned)language >= COUNT_OF(phrases) || (unsigned)phrase >= PHRASE_COUNT ||
        phrases[language][phrase] == NULL)
        panic("phrase_text: language %d phrase %d", (int)language, (int)phrase);
    return phrases[language][phrase];
}
