//! Who is let in over a bare stream: the knock, the answer and the proofs, and what is made of
//! anything else.

use lazycopy_protocol::control::{MigrationId, MigrationKey, PROTOCOL_VERSION};
use lazycopy_transport::{
    DoorError, HANDSHAKE_DEADLINE, KNOCK_FRAME_BYTES, PageLink, Purpose, Token, answer, knock,
};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn token(byte: u8) -> Token {
    Token::of_text(&format!("{byte:02x}").repeat(32)).unwrap()
}

fn key(byte: u8) -> MigrationKey {
    MigrationKey::new([byte; 32])
}

fn pages(link: PageLink, migration: u64) -> Purpose {
    Purpose::Pages { link, migration: MigrationId(migration), source: "a".to_owned() }
}

/// What a side has.
#[derive(Clone, Default)]
struct Has {
    token: Option<Token>,
    key: Option<MigrationKey>,
    session: Vec<u8>,
}

fn has(token_byte: Option<u8>, key_byte: Option<u8>) -> Has {
    Has { token: token_byte.map(token), key: key_byte.map(key), session: Vec::new() }
}

/// What comes of it when these two meet.
async fn meet(
    purpose: Purpose,
    who_knocks: Has,
    who_answers: Has,
) -> (Result<(), DoorError>, Result<Purpose, DoorError>) {
    let (mut here, mut there) = duplex(1 << 16);
    let knocking = async move {
        let Has { token, key, session } = who_knocks;
        knock(&mut here, purpose, token.as_ref(), key.as_ref(), &session).await
    };
    let answering = async move {
        let Has { token, key, session } = who_answers;
        answer(&mut there, token.as_ref(), &session, |_| Ok(key)).await
    };
    tokio::join!(knocking, answering)
}

#[tokio::test]
async fn who_has_the_same_is_let_in_and_nobody_else() {
    for one in [has(None, None), has(Some(1), None), has(None, Some(2)), has(Some(1), Some(2))] {
        let (knocked, answered) = meet(Purpose::Ctl, one.clone(), one.clone()).await;
        knocked.unwrap();
        assert_eq!(answered.unwrap(), Purpose::Ctl);
    }
    for (one, other) in [
        (has(Some(1), None), has(Some(2), None)),
        (has(None, Some(1)), has(None, Some(2))),
        (has(Some(1), Some(2)), has(Some(1), Some(3))),
        (has(Some(1), Some(2)), has(Some(2), Some(1))),
        (has(None, Some(1)), has(None, None)),
    ] {
        let (knocked, answered) = meet(pages(PageLink::Offer, 1), one, other).await;
        let told = knocked.unwrap_err().to_string();
        assert!(told.contains("does not prove the same cluster token"), "{told}");
        assert!(matches!(answered, Err(DoorError::Unproven)), "{answered:?}");
    }
}

#[tokio::test]
async fn a_token_on_one_side_alone_is_told_to_who_has_to_mend_it() {
    let (knocked, answered) = meet(Purpose::Server, has(None, None), has(Some(1), None)).await;
    let told = knocked.unwrap_err().to_string();
    assert!(told.contains("--token-file"), "{told}");
    assert_eq!(answered.unwrap_err().to_string(), told);
    let (knocked, _) = meet(Purpose::Server, has(Some(1), None), has(None, None)).await;
    let told = knocked.unwrap_err().to_string();
    assert!(told.contains("there is no cluster token here"), "{told}");
}

#[tokio::test]
async fn a_proof_is_good_in_its_own_tls_session_alone() {
    let one = Has { session: vec![1], ..has(Some(1), None) };
    let other = Has { session: vec![2], ..has(Some(1), None) };
    let (knocked, answered) = meet(Purpose::Ctl, one.clone(), other).await;
    assert!(knocked.is_err() && answered.is_err());
    let (knocked, answered) = meet(Purpose::Ctl, one.clone(), one).await;
    assert!(knocked.is_ok() && answered.is_ok());
}

async fn read_frame(stream: &mut DuplexStream) -> Vec<u8> {
    let length = stream.read_u32().await.unwrap();
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await.unwrap();
    frame
}

async fn write_frame(stream: &mut DuplexStream, frame: &[u8]) {
    stream.write_u32(frame.len() as u32).await.unwrap();
    stream.write_all(frame).await.unwrap();
}

/// What both sides said when they let each other in: knock, challenge, last word.
async fn overheard(token: &Token) -> [Vec<u8>; 3] {
    let (mut client, mut wire_of_client) = duplex(1 << 16);
    let (mut server, mut wire_of_server) = duplex(1 << 16);
    let wire = async move {
        let knock = read_frame(&mut wire_of_client).await;
        write_frame(&mut wire_of_server, &knock).await;
        let challenge = read_frame(&mut wire_of_server).await;
        write_frame(&mut wire_of_client, &challenge).await;
        let last = read_frame(&mut wire_of_client).await;
        write_frame(&mut wire_of_server, &last).await;
        [knock, challenge, last]
    };
    let (knocked, answered, said) = tokio::join!(
        knock(&mut client, Purpose::Server, Some(token), None, &[]),
        answer(&mut server, Some(token), &[], |_| Ok(None)),
        wire
    );
    knocked.unwrap();
    answered.unwrap();
    said
}

#[tokio::test]
async fn what_was_overheard_is_of_no_use_to_either_side() {
    let token = token(1);
    let [knocked, challenge, last] = overheard(&token).await;
    // To who answers: all of it again.
    let (mut here, mut there) = duplex(1 << 16);
    let replayed = async {
        write_frame(&mut here, &knocked).await;
        let fresh = read_frame(&mut here).await;
        assert_ne!(fresh, challenge);
        write_frame(&mut here, &last).await;
        String::from_utf8(read_frame(&mut here).await).unwrap()
    };
    let (told, answered) =
        tokio::join!(replayed, answer(&mut there, Some(&token), &[], |_| Ok(None)));
    assert!(told.contains("does not prove the cluster token"), "{told}");
    assert!(matches!(answered, Err(DoorError::Refused { .. })), "{answered:?}");
    // To who knocks: the old challenge.
    let (mut here, mut there) = duplex(1 << 16);
    let replayed = async {
        read_frame(&mut there).await;
        write_frame(&mut there, &challenge).await;
    };
    let (knocked, ()) =
        tokio::join!(knock(&mut here, Purpose::Server, Some(&token), None, &[]), replayed);
    assert!(matches!(knocked, Err(DoorError::Refused { .. })), "{knocked:?}");
}

#[tokio::test]
async fn a_side_does_not_take_its_own_words_for_the_others() {
    let token = token(1);
    // Who knocks hears its own knock.
    let (mut here, mut there) = duplex(1 << 16);
    let reflected = async {
        let own = read_frame(&mut there).await;
        write_frame(&mut there, &own).await;
    };
    let (knocked, ()) =
        tokio::join!(knock(&mut here, Purpose::Server, Some(&token), None, &[]), reflected);
    assert!(knocked.is_err());
    // Who answers hears its own proof.
    let [knock_frame, ..] = overheard(&token).await;
    let (mut here, mut there) = duplex(1 << 16);
    let reflected = async {
        write_frame(&mut here, &knock_frame).await;
        let challenge: serde_json::Value =
            serde_json::from_slice(&read_frame(&mut here).await).unwrap();
        let last = serde_json::json!({ "proof": challenge["proof"] });
        write_frame(&mut here, last.to_string().as_bytes()).await;
        String::from_utf8(read_frame(&mut here).await).unwrap()
    };
    let (told, answered) =
        tokio::join!(reflected, answer(&mut there, Some(&token), &[], |_| Ok(None)));
    assert!(told.contains("does not prove"), "{told}");
    assert!(matches!(answered, Err(DoorError::Refused { .. })), "{answered:?}");
}

/// What who answers says to these bytes, and what it makes of them.
async fn answer_to(bytes: &[u8]) -> (String, Result<Purpose, DoorError>) {
    let (mut here, mut there) = duplex(1 << 16);
    let said = async move {
        here.write_all(bytes).await.unwrap();
        here.shutdown().await.unwrap();
        let mut said = Vec::new();
        here.read_to_end(&mut said).await.unwrap();
        String::from_utf8_lossy(said.get(4..).unwrap_or_default()).into_owned()
    };
    let answering = async move { answer(&mut there, Some(&token(1)), &[], |_| Ok(None)).await };
    tokio::join!(said, answering)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

#[tokio::test]
async fn other_versions_are_refused_with_both_versions_in_a_form_that_they_understand() {
    let large =
        format!("{{\"hello\":\"server\",\"protocol\":3,\"vms\":\"{}\"}}", "x".repeat(9_000));
    for (first, theirs) in [
        (r#"{"hello":"server","protocol":3,"version":"0.1.0","name":"a","vms":[]}"#, "protocol 3"),
        (r#"{"hello":"ctl","protocol":2,"command":"status","json":false}"#, "protocol 2"),
        (r#"{"peer":"offer","protocol":1,"migration":1}"#, "protocol 1"),
        (&large, "protocol 3"),
        (r#"{"lazycopy":77,"version":"9.9.9","wants":"something new"}"#, "77 (lazycopy 9.9.9)"),
    ] {
        let (said, answered) = answer_to(&framed(first.as_bytes())).await;
        assert!(matches!(answered, Err(DoorError::Refused { .. })), "{answered:?}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.contains(theirs), "{reason}");
        assert!(reason.contains(&format!("protocol {PROTOCOL_VERSION}")), "{reason}");
        assert!(reason.contains("run the same version on both"), "{reason}");
        // A server, a source, and a ctl of version 3 each find what they look for.
        assert_eq!((&said["message"], &said["peer"]), (&"refused".into(), &"refuse".into()));
        assert_eq!((&said["ok"], &said["output"]), (&false.into(), &said["reason"]));
    }
}

#[tokio::test]
async fn what_is_cut_short_or_too_long_or_no_knock_at_all_is_turned_away() {
    let [knock_frame, ..] = overheard(&token(1)).await;
    let whole = framed(&knock_frame);
    for cut in 0..whole.len() {
        let (said, answered) = answer_to(&whole[..cut]).await;
        assert_eq!(said, "", "cut at {cut}");
        assert!(matches!(answered, Err(DoorError::Closed)), "{answered:?}");
    }
    // Who leaves after its knock.
    assert!(matches!(answer_to(&whole).await.1, Err(DoorError::Unproven)));
    let oversize = framed(&vec![b' '; KNOCK_FRAME_BYTES + 1]);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &oversize, &framed(b"[]")] {
        let (said, answered) = answer_to(garbage).await;
        assert!(said.contains("no beginning of a connection of lazycopy"), "{said}");
        assert!(matches!(answered, Err(DoorError::Refused { .. })), "{answered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_given_up() {
    use lazycopy_transport::Door;
    use tokio::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = TcpStream::connect(&address).await.unwrap();
    let accepted = listener.accept().await.unwrap().0;
    let started = tokio::time::Instant::now();
    let admitted = Door::default().admit(accepted, |_| Ok(None)).await;
    assert!(matches!(admitted, Err(DoorError::Late)), "{admitted:?}");
    assert!(started.elapsed() >= HANDSHAKE_DEADLINE);
    drop(silent);
    let socket = TcpStream::connect(&address).await.unwrap();
    let role = lazycopy_transport::Role::Manager;
    let through = Door::default().go_through(socket, &address, role, Purpose::Ctl, None).await;
    assert!(matches!(through, Err(DoorError::Late)), "{through:?}");
}

proptest! {
    #[test]
    fn whatever_somebody_says_it_is_not_let_in(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        let (_, answered) = runtime.block_on(answer_to(&framed(&bytes)));
        prop_assert!(answered.is_err());
    }
}
