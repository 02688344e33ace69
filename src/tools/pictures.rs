//! Pictures that are named by their paths, read for a prompt: what they are shows their content, not
//! their name. Whether they may be read is judged elsewhere.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::files::size;
use super::read::{IMAGE_LIMIT, image_kind};
use crate::transcript::Content;

/// How many pictures one prompt may have.
pub const MOST_PICTURES: usize = 8;

/// A picture that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub path: PathBuf,
    pub why: String,
}

/// The pictures, in order.
pub async fn read(paths: &[PathBuf]) -> Result<Vec<Content>, Unusable> {
    if let Some(path) = paths.get(MOST_PICTURES) {
        let why = format!("at most {MOST_PICTURES} images are taken");
        return Err(Unusable { path: path.clone(), why });
    }
    let mut pictures = Vec::with_capacity(paths.len());
    for path in paths {
        let wanted = path.clone();
        let read = tokio::task::spawn_blocking(move || read_one(&wanted)).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        pictures.push(read.map_err(|why| Unusable { path: path.clone(), why })?);
    }
    Ok(pictures)
}

fn read_one(path: &Path) -> Result<Content, String> {
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(IMAGE_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mime = image_kind(&bytes).ok_or("it is not a picture (PNG, JPEG, GIF or WebP)")?;
    if u64::try_from(bytes.len()).is_ok_and(|bytes| bytes > IMAGE_LIMIT) {
        return Err(format!("it is larger than {}", size(IMAGE_LIMIT)));
    }
    let data = base64::engine::general_purpose::STANDARD.encode(bytes);
    Ok(Content::Image { mime: mime.to_owned(), data })
}

#[cfg(test)]
mod tests {
    use super::{MOST_PICTURES, read};
    use crate::transcript::Content;

    #[tokio::test]
    async fn only_pictures_are_taken_and_not_too_many_or_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let jpeg = file("not-by-its-name.txt", &[0xFF, 0xD8, 0xFF, 0]);
        assert_eq!(
            read(std::slice::from_ref(&jpeg)).await,
            Ok(vec![Content::Image { mime: "image/jpeg".to_owned(), data: "/9j/AA==".to_owned() }])
        );
        let mut large = b"GIF89a".to_vec();
        large.resize(5 * 1024 * 1024 + 1, 0);
        for (path, why) in [
            (file("text.png", b"text"), "it is not a picture (PNG, JPEG, GIF or WebP)"),
            (file("large.gif", &large), "it is larger than 5.0 MiB"),
            (folder.path().to_owned(), "it is not a regular file"),
            (folder.path().join("absent.png"), "No such file or directory (os error 2)"),
        ] {
            let unusable = read(&[jpeg.clone(), path.clone()]).await.unwrap_err();
            assert_eq!((unusable.path, unusable.why.as_str()), (path, why));
        }
        let many = vec![jpeg; MOST_PICTURES + 1];
        assert!(read(&many).await.is_err());
        assert_eq!(read(many.get(1..).unwrap()).await.unwrap().len(), MOST_PICTURES);
    }
}
