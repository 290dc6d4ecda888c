//! Images of the database that clients read.

use super::*;
use seedbed::api::{ImageId, ImagePart, ImageRequest};
use seedbed::backend::{BoltConfig, Bucket, Engine as _, EngineConfig, Memory};

impl Bench {
    /// Changes one key so often.
    fn change(&mut self, times: usize) {
        for _ in 0..times {
            let put = PutRequest { key: "key".into(), value: vec![b'v'; 1000].into(), ..Default::default() };
            self.call(Request::Put(put)).expect("a put succeeds");
        }
    }

    fn image(&mut self, request: ImageRequest) -> Result<ImagePart, Error> {
        match self.call(Request::Image(request)) {
            Ok(Response::Image(part)) => Ok(part),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    }

    /// The rest of an image.
    fn read_on(&mut self, image: ImageId) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let part = self.image(ImageRequest::Next(image)).expect("it is open");
            assert!(part.data.len() <= 32 << 10, "pieces are short");
            bytes.extend(&part.data);
            if part.remaining == 0 {
                return bytes;
            }
        }
    }
}

#[test]
fn an_image_holds_what_was_applied_when_it_was_opened() {
    let mut bench = Bench::leading(Config { engine: EngineConfig::Memory, ..config(1) });
    bench.change(100);
    let opened = bench.image(ImageRequest::Open).expect("nobody forbids it");
    assert!(opened.data.is_empty() && opened.remaining > 100_000);
    bench.change(100);
    let bytes = bench.read_on(opened.image);
    assert_eq!(bytes.len() as u64, opened.remaining);
    let image = Memory::from_image(&bytes).expect("an image");
    let mut records = 0;
    let count = &mut |_: &[u8], _: &Bytes| {
        records += 1;
        true
    };
    image.range(Bucket::Key, b"", None, count).expect("memory does not fail");
    assert_eq!(records, 100);
    let end = bench.image(ImageRequest::Next(opened.image)).expect("it is open until it is closed");
    assert!(end.data.is_empty() && end.remaining == 0);
    bench.image(ImageRequest::Close(opened.image)).expect("it is there");
    assert_eq!(bench.image(ImageRequest::Next(opened.image)), Err(Error::Stopped));
    bench.image(ImageRequest::Close(opened.image)).expect("closing twice does no harm");
}

#[test]
fn a_defragmentation_waits_until_images_are_closed() {
    let mut bench = Bench::leading(Config { engine: EngineConfig::Bolt(BoltConfig::default()), ..config(1) });
    bench.change(100);
    let opened = bench.image(ImageRequest::Open).expect("nobody forbids it");
    bench.step(Input::Request(RequestId(9), Box::new(Request::Defragment)));
    bench.wait(1000);
    let answered = |bench: &Bench| bench.replies.iter().any(|(id, _)| *id == RequestId(9));
    assert!(!answered(&bench));
    let bytes = bench.read_on(opened.image);
    assert_eq!((bytes.len() as u64, bytes.len() % 4096), (opened.remaining, 0));
    bench.image(ImageRequest::Close(opened.image)).expect("it is there");
    bench.wait(1000);
    assert!(answered(&bench));
}
