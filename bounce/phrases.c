#include "bounce/phrases.h"

#include <string.h>

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
        [PHRASE_HOST_SAID] = "host % said: ",
        [PHRASE_GUARANTEE_SINCE] =
            "    Your TLS guarantee, on since %, "
            "stopped this message. No part of it was sent to this recipient.\n",
        [PHRASE_GUARANTEE] =
            "    Your TLS guarantee stopped this message. No part of it was sent to\n"
            "    this recipient.\n",
        [PHRASE_REQUIREMENT] =
            "    A TLS requirement for this message or this recipient's domain stopped\n"
            "    it. No part of it was sent to this recipient.\n",
        [PHRASE_REQUIRED] = "    Required: ",
        [PHRASE_REQUIRED_BY_DOMAIN] =
            "    What the recipient's domain itself requires, by DANE or MTA-STS, is not met "
            "either, or could not be learnt.\n",
        [PHRASE_TLS_REQUIRED_NO] =
            "    Its field TLS-Required: No did not lift the guarantee: that takes a "
            "guarantee that is not locked, and a message that its sender submits "
            "without REQUIRETLS.\n",
        [PHRASE_EVIDENCE] = "    What the recipient's mail hosts showed:\n",
        [PHRASE_EVIDENCE_AS_FOR] =
            "    What the recipient's mail hosts showed is said above for <%>.\n",
        [PHRASE_EVIDENCE_CUT] = "      (and more that is left out here)\n",
        [PHRASE_HELD_UNTIL] =
            "    The message is held for this recipient under the ID % "
            "until %, and dropped then without a further notice.\n",
        [PHRASE_HELD] = "    The message is held for this recipient under the ID %.\n",
        [PHRASE_NOT_HELD] = "    The message is not kept for this recipient.\n",
        [PHRASE_NOW] = "    What you can do now:\n",
        [PHRASE_RELEASE] =
            "    - Ask your administrator to send it without the guarantee:\n"
            "      %\n",
        [PHRASE_RELEASE_FORCE] =
            "    - The recipient's domain itself asks for verified TLS (DANE, MTA-STS), or what "
            "it asks for could not be learnt. Ask your administrator if it is to be sent in "
            "spite of that:\n"
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
        [PHRASE_LOWER] =
            "    - Or have the guarantee of your account lowered to encryption without "
            "verification (level on), and send the message again: it may then go "
            "encrypted to a server that nobody has verified.\n",
        [PHRASE_LOWER_FIRST] =
            "    - Have the guarantee of your account lowered to encryption without "
            "verification (level on), and send the message again: it may then go "
            "encrypted to a server that nobody has verified.\n",
        [PHRASE_POSTMASTER] =
            "    - Send this notice to the recipient's postmaster, by another way: the\n"
            "      lines above say what to look for.\n",
        [PHRASE_TIME_IS_OVER] = "    It was tried again and again until its time was over.\n",
        [PHRASE_RETRY_UNTIL] = "    It will be tried until %.\n",
        [PHRASE_RETRY_SUSPENDED] =
            "    It will be tried until % at the latest. Once TLS is no longer missing at "
            "many destinations, it is stopped if what it requires is still missing "
            "here, and you get another notice.\n",
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
            "    This is new: host % was seen with working TLS as late as %. It may be a "
            "mistake there, or somebody on the way keeps TLS from being used.\n",
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
        [PHRASE_HOST_SAID] = "host % said: ",
        [PHRASE_GUARANTEE_SINCE] =
            "    Ihre TLS-Versandgarantie, eingeschaltet seit %, "
            "hat diese Nachricht angehalten. Nichts davon ging an diesen Empfänger.\n",
        [PHRASE_GUARANTEE] =
            "    Ihre TLS-Versandgarantie hat diese Nachricht angehalten. Nichts davon\n"
            "    ging an diesen Empfänger.\n",
        [PHRASE_REQUIREMENT] =
            "    Für diese Nachricht oder die Domain dieses Empfängers ist TLS verlangt;\n"
            "    darum wurde sie angehalten. Nichts davon ging an diesen Empfänger.\n",
        [PHRASE_REQUIRED] = "    Verlangt war: ",
        [PHRASE_REQUIRED_BY_DOMAIN] =
            "    Auch was die Domain des Empfängers selbst durch DANE oder MTA-STS verlangt, ist "
            "nicht erfüllt oder war nicht zu erfahren.\n",
        [PHRASE_TLS_REQUIRED_NO] =
            "    Ihr Feld TLS-Required: No hob die Garantie nicht auf: Dazu darf die "
            "Garantie nicht gesperrt sein, und der Absender muss die Nachricht selbst "
            "und ohne REQUIRETLS einreichen.\n",
        [PHRASE_EVIDENCE] = "    Was die Mailserver des Empfängers gezeigt haben:\n",
        [PHRASE_EVIDENCE_AS_FOR] =
            "    Was die Mailserver des Empfängers gezeigt haben, steht oben bei <%>.\n",
        [PHRASE_EVIDENCE_CUT] = "      (und weiteres, das hier fehlt)\n",
        [PHRASE_HELD_UNTIL] =
            "    Die Nachricht wird für diesen Empfänger unter der Kennung % bis "
            "% aufbewahrt und danach ohne weitere Meldung verworfen.\n",
        [PHRASE_HELD] =
            "    Die Nachricht wird für diesen Empfänger unter der Kennung % aufbewahrt.\n",
        [PHRASE_NOT_HELD] = "    Die Nachricht wird für diesen Empfänger nicht aufbewahrt.\n",
        [PHRASE_NOW] = "    Was Sie jetzt tun können:\n",
        [PHRASE_RELEASE] =
            "    - Bitten Sie Ihren Administrator, sie ohne die Garantie zu senden:\n"
            "      %\n",
        [PHRASE_RELEASE_FORCE] =
            "    - Die Domain des Empfängers verlangt selbst geprüftes TLS (DANE, MTA-STS), oder "
            "was sie verlangt, war nicht zu erfahren. Bitten Sie Ihren Administrator darum, wenn sie trotzdem gesendet werden soll:\n"
            "      %\n",
        [PHRASE_RELEASE_REFUSED] =
            "    - Sie kann nicht freigegeben werden: Eine Regel dieses Mailsystems verlangt "
            "hier TLS, oder die Nachricht selbst verlangt es (REQUIRETLS).\n",
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
        [PHRASE_LOWER] =
            "    - Oder lassen Sie die Garantie für Ihr Konto auf Verschlüsselung ohne "
            "Prüfung senken (Stufe on), und senden Sie die Nachricht noch einmal: Dann "
            "geht sie womöglich verschlüsselt an einen Server, den niemand geprüft hat.\n",
        [PHRASE_LOWER_FIRST] =
            "    - Lassen Sie die Garantie für Ihr Konto auf Verschlüsselung ohne Prüfung "
            "senken (Stufe on), und senden Sie die Nachricht noch einmal: Dann geht sie "
            "womöglich verschlüsselt an einen Server, den niemand geprüft hat.\n",
        [PHRASE_POSTMASTER] =
            "    - Geben Sie diese Meldung auf anderem Weg an den Postmaster des\n"
            "      Empfängers weiter: Die Zeilen oben sagen, wonach zu suchen ist.\n",
        [PHRASE_TIME_IS_OVER] =
            "    Die Zustellung wurde immer wieder versucht, bis die Zeit um war.\n",
        [PHRASE_RETRY_UNTIL] = "    Die Zustellung wird versucht bis %.\n",
        [PHRASE_RETRY_SUSPENDED] =
            "    Die Zustellung wird längstens versucht bis %. Sobald TLS nicht mehr an "
            "vielen Zielen fehlt, wird die Nachricht angehalten, falls hier noch immer "
            "fehlt, was verlangt ist; dann erhalten Sie eine weitere Meldung.\n",
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
            "    Das ist neu: Der Server % bot zuletzt am % noch funktionierendes TLS an. "
            "Das kann ein Fehler dort sein, oder jemand auf dem Weg verhindert TLS.\n",
        [PHRASE_NOT_IN_CLEAR] = "    Sie wurde dorthin nicht unverschlüsselt gesendet.\n",
        [PHRASE_SUSPENDED] =
            "    TLS fehlt an vielen Zielen zugleich; der Fehler liegt womöglich bei uns und "
            "nicht beim Empfänger. Darum wird die Nachricht nicht angehalten und auch "
            "nicht unverschlüsselt gesendet, sondern weiter versucht.\n",
        [PHRASE_REDACTED] =
            "Damit diese Meldung unterwegs nichts verrät, enthält sie von Ihrer\n"
            "Nachricht nur das Datum, die Message-ID und den Absender.\n",
    },
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */
/* clang-format on */

/* Piece by piece, as guarantee_required_words() joins them. */
static const struct {
    const char *words[2]; /* by language */
} requirements[] = {
    {{"encrypted transport (TLS 1.2 or newer)", "verschlüsselter Versand (TLS 1.2 oder neuer)"}},
    {{"encrypted transport to a verified server (TLS 1.2 or newer, DANE or MTA-STS)",
      "verschlüsselter Versand an einen geprüften Server (TLS 1.2 oder neuer, DANE oder MTA-STS)"}},
    {{"REQUIRETLS (RFC 8689) all the way", "REQUIRETLS (RFC 8689) auf dem ganzen Weg"}},
    {{"a server authenticated by DANE", "ein durch DANE ausgewiesener Server"}},
    {{"a server with a valid certificate (WebPKI or DANE)",
      "ein Server mit gültigem Zertifikat (WebPKI oder DANE)"}},
    {{"a server whose key or certificate has a fingerprint that is named",
      "ein Server, dessen Schlüssel oder Zertifikat einen genannten Fingerabdruck hat"}},
    {{"a listed host with a certificate valid for its name",
      "ein aufgeführter Server mit einem Zertifikat, das für seinen Namen gilt"}},
    {{"by the sender's guarantee", "durch die Garantie des Absenders"}},
    {{"asked for with the message", "mit der Nachricht verlangt"}},
    {{"by our policy for the recipient's domain",
      "durch unsere Regel für die Domain des Empfängers"}},
    {{"by our route for the recipient's domain",
      "durch unsere Route für die Domain des Empfängers"}},
    {{"by the MTA-STS policy of the recipient's domain",
      "durch die MTA-STS-Richtlinie der Domain des Empfängers"}},
    {{"nothing", "nichts"}},
};

void phrase_required(enum bounce_language language, const char *required, struct page *out)
{
    for (const char *at = required; *at != '\0';) {
        struct slice known = {at, 1}, said = {at, 1};
        for (size_t i = 0; i < COUNT_OF(requirements); i++) {
            struct slice words = slice_of(requirements[i].words[BOUNCE_ENGLISH]);
            if (strncmp(at, words.data, words.len) == 0) {
                known = words;
                said = slice_of(requirements[i].words[language]);
                break;
            }
        }
        page_put(out, said);
        at += known.len;
    }
}

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
